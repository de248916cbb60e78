"""What a job is and what is known of it. Pure: nothing here touches a machine."""
