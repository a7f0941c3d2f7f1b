// A consumer of Twilio's Media Streams, as a user of theirs writes it: every track to a file, and
// the sequence looked at.
//
//   node media_streams.js FOLDER
const fs = require('fs')
const path = require('path')
const { WebSocketServer } = require('ws')

const folder = process.argv[2]
const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' })

wss.on('connection', (ws) => {
  const tracks = {}
  let next = 1
  let callSid = ''
  ws.on('message', (data) => {
    const msg = JSON.parse(data)
    if (msg.event !== 'connected' && Number(msg.sequenceNumber) !== next++) {
      console.log(`out of sequence ${data}`)
    }
    switch (msg.event) {
      case 'start':
        callSid = msg.start.callSid
        console.log(`start ${JSON.stringify(msg.start)}`)
        ws.send(JSON.stringify({ event: 'mark', streamSid: msg.streamSid, mark: { name: 'hello' } }))
        break
      case 'mark':
        console.log(`mark ${msg.mark.name}`)
        break
      case 'dtmf':
        console.log(`dtmf ${msg.dtmf.track} ${msg.dtmf.digit}`)
        break
      case 'media':
        (tracks[msg.media.track] ||= []).push(Buffer.from(msg.media.payload, 'base64'))
        break
      case 'stop':
        for (const [track, parts] of Object.entries(tracks)) {
          fs.writeFileSync(path.join(folder, `${callSid}-${track}.ulaw`), Buffer.concat(parts))
        }
        console.log('stop')
        break
    }
  })
  ws.on('close', () => console.log('closed'))
})

wss.on('listening', () => console.log(`port ${wss.address().port}`))
