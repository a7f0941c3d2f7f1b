// A consumer for both directions of a call, as users of app_audiofork write it: one path for each, and
// what comes is written to a file as it is.
//
//   node two_directions.js FOLDER
//
// Prints its port. The package `ws` is all that it needs.
const http = require('http')
const fs = require('fs')
const path = require('path')
const { WebSocketServer } = require('ws')

const folder = process.argv[2]
const server = http.createServer()
const sockets = new WebSocketServer({ noServer: true })

server.on('upgrade', (request, socket, head) => {
  const { pathname } = new URL(request.url, 'ws://localhost')
  if (pathname !== '/in' && pathname !== '/out') return socket.destroy()
  const file = fs.createWriteStream(path.join(folder, `${pathname.slice(1)}.raw`))
  sockets.handleUpgrade(request, socket, head, (ws) => {
    ws.on('message', (message) => file.write(message))
    ws.on('close', () => file.end(() => console.log(`closed ${pathname}`)))
  })
})

server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`))
