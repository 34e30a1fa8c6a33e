import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parsedObject, string } from '../acp/json-shape.ts'
import { answerShape } from './model-answers.ts'
import { offeredTools, writingCall } from './offered-tools.ts'

const MAX_BODY_BYTES = 32 * 1024 * 1024

export interface AskingModel {
  url: string
  /** May be called twice. */
  close(): Promise<void>
}

/** A model service on this machine's loopback that knows one thing: to ask, first of all, for a file to be written. */
export async function openAskingModel(file: string, content: string): Promise<AskingModel> {
  let asked = false
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const path = (request.url ?? '').split('?')[0]!
    const body = parsedObject(await textOf(request)) ?? {}
    const shape = request.method === 'POST' ? answerShape(path) : undefined
    if (!shape)
      return json(
        response,
        path.endsWith('/count_tokens') ? { input_tokens: 1 } : { object: 'list', data: [] },
      )
    const call = asked ? undefined : writingCall(offeredTools(body), file, content)
    if (call) asked = true
    const said = call ? { call } : { text: 'Done.' }
    const model = string(body.model) ?? ''
    if (body.stream !== true) return json(response, shape.whole(said, model))
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const { name, data } of shape.stream(said, model))
      response.write(`${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`)
    response.end(shape.end)
  }
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      if (!server.listening) return
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) throw new Error('too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
