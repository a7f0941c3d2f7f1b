// A consumer for three raw streams, as users of ast-streamer write it: one WebSocket a side, the
// call's UUID out of the path, and what comes is written to a file as it is.
//
//   node stream_catcher.js FOLDER
//
// Prints its port. The package `ws` is all that it needs.
const http = require('http')
const fs = require('fs')
const path = require('path')
const { WebSocketServer } = require('ws')

const folder = process.argv[2]
const server = http.createServer()
const catchers = { left: null, right: null, mix: null }

const idOf = (pathname) => {
  const match = pathname.match(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/)
  return match ? match[0] : ''
}

for (const side of Object.keys(catchers)) {
  catchers[side] = new WebSocketServer({ noServer: true })
  catchers[side].on('connection', (ws, id) => {
    const file = fs.createWriteStream(path.join(folder, `${id}-${side}.raw`))
    ws.on('message', (message) => file.write(message))
    ws.on('close', () => file.end(() => console.log(`closed ${side} ${id}`)))
  })
}

server.on('upgrade', (request, socket, head) => {
  const [, side] = request.url.split('/')
  if (!catchers[side]) return socket.destroy()
  catchers[side].handleUpgrade(request, socket, head, (ws) => {
    catchers[side].emit('connection', ws, idOf(request.url))
  })
})

server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`))
