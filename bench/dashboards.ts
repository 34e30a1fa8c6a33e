import { once } from 'node:events'

/**
 * Simulates open dashboards for the benchmark. Each has its own session and follows what a page follows: its list of
 * runs, the tasks and runners, and the log of a run. Prints "in" when all are logged in, opens them when it reads a
 * line from its input, and prints "there" when all are live. Ends with its input.
 */
const { url, count, runId, username, password } = JSON.parse(process.argv[2]!) as {
  url: string
  count: number
  runId: string
  username: string
  password: string
}

async function login(): Promise<string> {
  const answer = await fetch(`${url}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password, cookie: true }),
  })
  if (!answer.ok) throw new Error(await answer.text())
  return answer.headers.get('set-cookie')!.split(';')[0]!
}

async function open(cookie: string): Promise<void> {
  const headers = { cookie, accept: 'text/event-stream' }
  for (const path of ['/api/me', '/api/runs?limit=100', '/api/run-counts', '/api/approvals'])
    await (await fetch(`${url}${path}`, { headers: { cookie } })).text()
  const topics = `runs,tasks,runners,run:${runId}@0`
  const response = await fetch(`${url}/api/events?topics=${topics}`, { headers })
  if (!response.ok) throw new Error(await response.text())
  const reader = response.body!.getReader()
  await reader.read()
  void (async () => {
    while (!(await reader.read()).done);
    console.error('A dashboard was sent away.')
    process.exit(1)
  })()
}

const cookies: string[] = []
for (let index = 0; index < count; index++) cookies.push(await login())
process.stdin.on('end', () => process.exit(0)).resume()
console.log('in')
await once(process.stdin, 'data')
for (const cookie of cookies) await open(cookie)
console.log('there')
