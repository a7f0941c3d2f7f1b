"""A consumer of jambonz' `listen`, as a user of theirs writes it: the subprotocol is looked at, the
first message says what follows, the rest is audio.

    python3 listen.py FOLDER
"""

import asyncio
import json
import pathlib
import sys

import websockets

folder = pathlib.Path(sys.argv[1])


async def handle(websocket):
    if websocket.subprotocol != "audio.jambonz.org":
        return
    first = json.loads(await websocket.recv())
    print("start", json.dumps(first), flush=True)
    with open(folder / f'{first["callSid"]}.raw', "wb") as file:
        async for message in websocket:
            if isinstance(message, bytes):
                file.write(message)
    print("closed", flush=True)


async def main():
    serving = websockets.serve(handle, "127.0.0.1", 0, subprotocols=["audio.jambonz.org"])
    async with serving as server:
        print("port", server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
