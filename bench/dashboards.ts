/**
 * A program for the benchmark: open dashboards, each a session of its own that follows what a page does: its list of runs, the tasks and
 * the runners, and the log of a run. Prints "there" when all are live.
 */
const { url, count, runId, username, password } = JSON.parse(process.argv[2]!) as {
  url: string
  count: number
  runId: string
  username: string
  password: string
}

async function open(): Promise<void> {
  const login = await fetch(`${url}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password, cookie: true }),
  })
  if (!login.ok) throw new Error(await login.text())
  const cookie = login.headers.get('set-cookie')!.split(';')[0]!
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

process.stdin.on('end', () => process.exit(0)).resume()
for (let index = 0; index < count; index++) await open()
console.log('there')
