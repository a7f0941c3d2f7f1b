"""A consumer of RingCentral's Call Streaming, as a user of theirs writes it in Python: it reads
`audioContentType`, and it leaves after the first Stop.

    python3 call_streaming.py FOLDER

Prints its port. The package `websockets` is all that it needs.
"""

import asyncio
import base64
import json
import pathlib
import sys

import websockets

folder = pathlib.Path(sys.argv[1])


async def handle(websocket):
    name = ""
    async for text in websocket:
        message = json.loads(text)
        event = message["event"]
        if event == "Start":
            metadata = message["metadata"]
            if metadata["audioContentType"] != "audio/x-mulaw":
                raise TypeError("only mu-law is supported")
            name = f'{metadata["callId"]}-{metadata["sessionId"]}'
        elif event == "Media":
            side = {"Participant": "agent", "Conference": "conference"}[message["perspective"]]
            with open(folder / f"{name}_{side}.ulaw", "ab") as file:
                file.write(base64.b64decode(message["media"]))
        elif event == "Stop":
            break
    print("closed", flush=True)


async def main():
    async with websockets.serve(handle, "127.0.0.1", 0) as server:
        print("port", server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
