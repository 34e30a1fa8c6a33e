import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

export interface Received {
  path: string
  headers: IncomingHttpHeaders
  body: string
}

type Clean = Pick<TestContext, 'after'>

/** Starts a server that accepts webhooks and topics, and answers each with `answer.status`, as ntfy does. */
export async function webStandIn(t: Clean, port = 0) {
  const received: Received[] = []
  const answer = { status: 200 }
  let received_ = Promise.withResolvers<void>()
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text) => {
      body += text
    })
    request.on('end', () => {
      received.push({ path: request.url!, headers: request.headers, body })
      response.writeHead(answer.status).end(JSON.stringify({ id: `message-${received.length}` }))
      received_.resolve()
      received_ = Promise.withResolvers()
    })
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port: bound } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${bound}`,
    received,
    answer,
    /** Resolves once `fits` holds for what was received. */
    async until(fits: (received: readonly Received[]) => boolean): Promise<void> {
      while (!fits(received)) await received_.promise
    },
  }
}

/** Starts a mail server that accepts everything. */
export async function mailStandIn(t: Clean) {
  const mails: { from: string; to: string[]; text: string }[] = []
  let received_ = Promise.withResolvers<void>()
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket.on('close', () => sockets.delete(socket)).on('error', () => {}))
    const say = (line: string) => socket.write(`${line}\r\n`)
    let mail = { from: '', to: [] as string[], text: '' }
    let isText = false
    let rest = ''
    say('220 stand-in')
    socket.setEncoding('utf8').on('data', (text) => {
      const lines = (rest + text).split('\r\n')
      rest = lines.pop()!
      for (const line of lines) {
        if (isText && line === '.') {
          isText = false
          mails.push(mail)
          mail = { from: '', to: [], text: '' }
          say('250 kept')
          received_.resolve()
          received_ = Promise.withResolvers()
        } else if (isText) mail.text += `${line.replace(/^\./, '')}\n`
        else if (/^EHLO|^HELO/i.test(line)) say('250 stand-in')
        else if (/^MAIL FROM:/i.test(line)) {
          mail.from = /<(.*?)>/.exec(line)![1]!
          say('250 ok')
        } else if (/^RCPT TO:/i.test(line)) {
          mail.to.push(/<(.*?)>/.exec(line)![1]!)
          say('250 ok')
        } else if (/^DATA/i.test(line)) {
          isText = true
          say('354 go on')
        } else if (/^QUIT/i.test(line)) socket.end('221 bye\r\n')
        else say('250 ok')
      }
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    url: `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    mails,
    async until(count: number): Promise<void> {
      while (mails.length < count) await received_.promise
    },
  }
}
