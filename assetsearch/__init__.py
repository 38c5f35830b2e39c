import atexit
import gc

# A process that ends leaves its memory to the system. Python would look through all of it for garbage first: 0.3 s, a
# quarter of what a short command takes, and most of what it takes to stop the services.
atexit.register(gc.freeze)
