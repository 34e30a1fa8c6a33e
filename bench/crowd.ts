/**
 * Runs many idle runners, and many readers of one run's events, in one process of the benchmark. They speak the
 * protocol and do nothing. Prints "there" when all are connected. Each line on standard input breaks the runners'
 * links; it then prints "there" again when all are back.
 */
import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { PROTOCOL_VERSION } from '../src/contract/protocol.ts'
import { Backoff } from '../src/platform/time.ts'

const { url, runnerToken, token, runId, name, count } = JSON.parse(process.argv[2]!) as {
  url: string
  runnerToken: string
  token: string
  runId: string
  name: string
  count: number
}
const links = new Set<WebSocket>()
let connected = 0
let reading = 0
let isReported = false

function reportIfAll(): void {
  if (connected < count || reading < count || isReported) return
  isReported = true
  console.log('there')
}

async function runner(id: string): Promise<never> {
  // The same settings as those of a runner.
  const backoff = new Backoff({ firstMs: 100, maxMs: 10_000, jitter: 1 })
  for (;;) {
    await new Promise<void>((resolve) => {
      const link = new WebSocket(`${url.replace('http', 'ws')}/api/runner-link`, {
        headers: { authorization: `Bearer ${runnerToken}` },
        perMessageDeflate: false,
      })
      let welcome = false
      link.on('open', () =>
        link.send(
          JSON.stringify({
            ...{ type: 'hello', protocol: PROTOCOL_VERSION, version: '0.0.0', runner_id: id, boot_id: id },
            ...{ group: 'crowd', labels: { os: 'linux' }, mode: 'all', hostname: id },
            ...{ cpus: 4, memory_bytes: 8 * 1024 ** 3, slots: 4, attempts: [] },
          }),
        ),
      )
      link.on('message', (data) => {
        if (JSON.parse(String(data)).type !== 'welcome') return
        welcome = true
        links.add(link)
        connected++
        backoff.reset()
        reportIfAll()
      })
      link.on('error', () => {})
      link.on('close', () => {
        links.delete(link)
        if (welcome) connected--
        resolve()
      })
    })
    await sleep(backoff.next())
  }
}

function reader(): Promise<void> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' }
    const failed = (error: Error) => {
      console.error(error.message)
      process.exit(1)
    }
    get(`${url}/api/runs/${runId}/events`, { headers }, (response) => {
      response.once('data', () => {
        reading++
        resolve()
        reportIfAll()
      })
      response.on('end', () => failed(new Error('A reader was sent away.')))
      response.on('error', failed)
    }).on('error', failed)
  })
}

process.stdin.on('data', () => {
  isReported = false
  for (const link of links) link.terminate()
})
process.stdin.on('end', () => process.exit(0))
for (let index = 0; index < count; index++) {
  void runner(`${name}-${index}`)
  // They connect one after another. The line on standard input tests that all connect at once.
  await reader()
}
