# Sends files home as one tar stream. Reads their paths below /, each ended by NUL, in the order in which they go.
cd / && tar -chf - --null -T -
