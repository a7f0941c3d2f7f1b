// A consumer of RingCentral's Call Streaming over wss, as a user of theirs writes it: audio is
// gathered by perspective and written on each Stop.
//
//   node call_streaming.js FOLDER CERTIFICATE KEY
const fs = require('fs')
const https = require('https')
const path = require('path')
const { WebSocketServer } = require('ws')

const [, , folder, cert, key] = process.argv
const server = https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) })
const wss = new WebSocketServer({ server })

wss.on('connection', (ws, request) => {
  let callId = ''
  const audio = { Conference: Buffer.from(''), Participant: Buffer.from('') }
  console.log(`query ${new URL(request.url, 'wss://x').search}`)
  ws.on('message', (message) => {
    const msg = JSON.parse(message)
    switch (msg.event) {
      case 'Connected':
        console.log(`connected ${msg.protocol} ${msg.version}`)
        break
      case 'Start':
        callId = msg.metadata.callId
        console.log(`start ${JSON.stringify(msg.metadata)}`)
        break
      case 'Media':
        audio[msg.perspective] =
          Buffer.concat([audio[msg.perspective], Buffer.from(msg.media, 'base64')])
        break
      case 'Stop':
        fs.writeFileSync(path.join(folder, `${callId}_conference.ulaw`), audio.Conference)
        fs.writeFileSync(path.join(folder, `${callId}_agent.ulaw`), audio.Participant)
        console.log(`stop ${msg.metadata.duration} ${msg.metadata.end_time}`)
        break
    }
  })
  ws.on('close', () => console.log('closed'))
})

server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`))
