import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { TcpProxy } from '../link/tcp-proxy.ts'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'

/**
 * Starts a hub, a runner behind a proxy, and a step that can be tried again. Each try marks that it lives and ignores
 * signals.
 */
async function start(t: TestContext, lostAfter: string, step: Record<string, unknown> = {}) {
  let port = 0
  const proxy = await TcpProxy.open(() => port)
  t.after(() => proxy.close())
  const programs = await startPrograms(t, {
    runner: 'none',
    hubArgs: ['--heartbeat', '0.4s', '--lost-after', lostAfter],
  })
  port = Number(new URL(programs.url).port)
  const { home, data, errand, client } = programs
  const token = readFileSync(join(data, 'runner-token'), 'utf8').trim()
  const startRunner = (id: string, url: string) =>
    errand.start(['runner', '--id', id, '--workspace', join(home, id), '--url', url, '--token', token])
  const apart = startRunner('apart', proxy.url)
  await apart.until('Connected to the hub')
  const marks = join(home, 'marks')
  const tries = () => (existsSync(marks) ? readFileSync(marks, 'utf8').split('\n').filter(Boolean) : [])
  const cmd = `trap '' TERM; while [ ! -e "${home}/go" ]; do echo $ERRAND_TRY >>"${marks}"; sleep 0.01; done`
  const retry = { max_attempts: 2, backoff: { delay_seconds: 0 } }
  const { run_id } = await client.runs.create({ yaml: workflowText([{ name: 'one', cmd, retry, ...step }]) })
  await eventually('the first try', () => tries().length > 10)
  const other = startRunner('other', programs.url)
  await other.until('Connected to the hub')
  return { ...programs, proxy, apart, startRunner, tries, run_id }
}

/** Asserts that the second try has begun, and that the first did nothing from then on. */
async function assertApart(tries: () => string[]): Promise<void> {
  const seconds = () => tries().filter((mark) => mark === '2').length
  await eventually('the second try', () => seconds() > 50)
  const all = tries()
  const [last, first] = [all.lastIndexOf('1'), all.indexOf('2')]
  assert.ok(
    last < first,
    `the first try continued for ${all.slice(first).filter((mark) => mark === '1').length} marks`,
  )
}

for (const [how, part] of [
  ['with the connection left open', (proxy: TcpProxy) => proxy.freeze()],
  [
    'with the connection closed at once',
    (proxy: TcpProxy) => {
      proxy.freeze()
      proxy.cut()
    },
  ],
] as const)
  test(`a try that is cut off, ${how}, has ended when the next one starts elsewhere`, async (t) => {
    const { proxy, apart, client, tries, run_id } = await start(t, '12s')
    part(proxy)
    await assertApart(tries)
    assert.match(apart.printed.stderr + apart.printed.stdout, /Cut off from the hub for \d+ s\. .*run_\w+\.1/)
    proxy.thaw()
    await eventually('a runner that is back', async () =>
      (await client.runners.list()).every(({ status }) => status === 'connected'),
    )
    const { attempts } = (await client.runs.get(run_id)).steps[0]!.instances[0]!
    assert.deepEqual(
      attempts.map(({ runner, outcome }) => [runner, outcome]),
      [
        ['apart', 'failed'],
        ['other', undefined],
      ],
    )
  })

test('a runner that is killed and restarted while it is cut off ends its work in time', async (t) => {
  const { home, proxy, apart, startRunner, tries } = await start(t, '24s')
  proxy.freeze()
  proxy.cut()
  apart.child.kill('SIGKILL')
  await apart.finished
  startRunner('apart', proxy.url)
  await eventually('its lock', () => existsSync(join(home, 'apart', 'lock')))
  await assertApart(tries)
})

test('a step that must not be stopped continues while it is cut off, beside its next try', async (t) => {
  const { proxy, tries } = await start(t, '2s', { on_disconnect: 'continue' })
  proxy.freeze()
  const both = () => tries().lastIndexOf('1') > tries().indexOf('2') && tries().includes('2')
  await eventually('both of them', both)
})
