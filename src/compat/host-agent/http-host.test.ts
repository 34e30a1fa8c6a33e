import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { cmdSpec, folder, httpHost, KeepingSink, until } from '../../../test/support/compat/hosts-fixture.ts'
import { builtinActionRegistry } from '../../actions/registry.ts'
import { openAttempts } from '../../runner/open-attempts.ts'
import { createHostAgent, type HostAgentOptions } from './server.ts'

/** Starts a real agent; `restart` does what a new process with the same folder does. */
async function agent(t: TestContext, options: Partial<HostAgentOptions> = {}, dir?: string) {
  const data = dir ?? (await folder(t))
  let address = ':0'
  const start = async () => {
    const attempts = openAttempts({
      dir: data,
      registry: builtinActionRegistry,
      workspaceDir: data,
      workspace: 'cwd',
    })
    const server = createHostAgent({ attempts, token: 'T', version: '1', ...options })
    const { url, port } = await server.listen(address)
    address = `:${port}`
    const stop = async () => {
      await server.close()
      await attempts.close()
    }
    return { attempts, url, stop }
  }
  let running = await start()
  t.after(async () => {
    for (const attempt of running.attempts.all()) attempt.cancel(0, 'canceled')
    await until(() => running.attempts.all().every((attempt) => attempt.ended), 'the attempts to end')
    await running.stop()
  })
  return {
    url: running.url,
    get attempts() {
      return running.attempts
    },
    stop: () => running.stop(),
    restart: async () => {
      running = await start()
    },
  }
}

function run(host: ReturnType<typeof httpHost>, spec: ReturnType<typeof cmdSpec>): KeepingSink {
  const sink = new KeepingSink()
  host.start(spec, host.place(spec), sink)
  return sink
}

test('a short command runs, and its output, exit code and exports are returned', async (t) => {
  const { url } = await agent(t)
  const sink = run(
    httpHost(t),
    cmdSpec(url, 'echo "hi $WHO"; echo "BOPS_EXPORT:A=1"; echo no >&2; exit 3', {
      args: { cmd: 'echo "hi $WHO"; echo "BOPS_EXPORT:A=1"; echo no >&2; exit 3', export_vars: true },
      env: { WHO: 'there' },
    }),
  )
  const end = await sink.ended
  assert.deepEqual([end.outcome, end.reason, end.exit_code], ['failed', 'exit_code', 3])
  assert.equal(sink.text('stdout'), 'hi there\nBOPS_EXPORT:A=1\n')
  assert.equal(sink.text('stderr'), 'no\n')
  assert.deepEqual([end.exports, end.last_error_line], [{ A: '1' }, 'no'])
  assert.deepEqual(
    sink.reports.map((report) => report.type),
    ['started', 'ended'],
  )
})

test('several hosts work at the same time, and their output arrives meanwhile', async (t) => {
  const dir = await folder(t)
  const agents = await Promise.all([agent(t), agent(t), agent(t)])
  const host = httpHost(t)
  const go = join(dir, 'go')
  const sinks = agents.map(({ url }, i) =>
    run(
      host,
      cmdSpec(url, `echo first; while ! [ -e ${go} ]; do sleep 0.02; done; echo "last ${i}"`, {
        host: `h${i}`,
      }),
    ),
  )
  // No attempt has ended, and all have sent their first line.
  for (const sink of sinks) await until(() => sink.text('stdout') === 'first\n', 'the first line')
  await writeFile(go, '')
  for (const [i, sink] of sinks.entries()) {
    assert.equal((await sink.ended).outcome, 'success')
    assert.equal(sink.text('stdout'), `first\nlast ${i}\n`)
  }
})

test('large binary output arrives byte for byte, at any speed of the sink', async (t) => {
  const { url } = await agent(t)
  const file = join(await folder(t), 'bytes')
  const bytes = Buffer.alloc(3_000_001, Buffer.from([0xff, 0, 0xc3, 0x28, 10, 13, 27]))
  await writeFile(file, bytes)
  const spec = cmdSpec(url, `cat ${file}; cat ${file} >&2`)
  const sink = new KeepingSink()
  // Sleeps: a reader that is slower than the writer.
  sink.onOutput = () => new Promise((resolve) => setTimeout(resolve, 5))
  const host = httpHost(t)
  host.start(spec, host.place(spec), sink)
  const end = await sink.ended
  assert.equal(end.outcome, 'success')
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  for (const stream of ['stdout', 'stderr'] as const) {
    assert.equal(createHash('sha256').update(Buffer.concat(sink.kept[stream])).digest('hex'), sha256)
    assert.deepEqual(end.streams?.[stream], { length: bytes.length, sha256 })
  }
})

test('cancel leaves no process, and the attempt ends with the given reason', async (t) => {
  const { url } = await agent(t)
  const host = httpHost(t, { cancelGraceMs: 100 })
  const mark = `errand_mark_${process.pid}_${Date.now()}`
  const spec = cmdSpec(url, `trap '' TERM; echo up; sleep 300 & while :; do sleep 0.1; done # ${mark}`)
  const sink = run(host, spec)
  await until(() => sink.text('stdout') === 'up\n', 'the command to be up')
  host.cancel(spec.attempt_id, 'timeout')
  host.cancel(spec.attempt_id, 'canceled')
  const end = await sink.ended
  assert.deepEqual([end.outcome, end.reason], ['canceled', 'timeout'])
  assert.deepEqual(processesOf(spec.attempt_id), [])
})

test('an agent that restarts in the middle of a task loses nothing of it', async (t) => {
  const it = await agent(t)
  const go = join(await folder(t), 'go')
  const sink = run(
    httpHost(t),
    cmdSpec(it.url, `for i in 1 2 3; do echo $i; done; while ! [ -e ${go} ]; do sleep 0.02; done; echo 4`),
  )
  await until(() => sink.text('stdout') === '1\n2\n3\n', 'the first lines')
  await it.stop()
  await writeFile(go, '')
  await it.restart()
  const end = await sink.ended
  assert.equal(end.outcome, 'success')
  assert.equal(sink.text('stdout'), '1\n2\n3\n4\n')
})

test('a dispatcher that restarts resumes the attempts that its hosts still have', async (t) => {
  const { url } = await agent(t)
  const go = join(await folder(t), 'go')
  const spec = cmdSpec(url, `echo 1; while ! [ -e ${go} ]; do sleep 0.02; done; echo 2`)
  const first = httpHost(t)
  const before = run(first, spec)
  await until(() => before.text('stdout') === '1\n', 'the first line')
  await first.close()
  await first.close()
  await writeFile(go, '')
  const after = new KeepingSink()
  after.kept.stdout.push(...before.kept.stdout)
  httpHost(t).resume(spec, { epoch: 1 }, { started: true, streams: { stdout: 2 } }, after)
  assert.equal((await after.ended).outcome, 'success')
  assert.equal(after.text('stdout'), '1\n2\n')
  assert.deepEqual(
    [before.reports, after.reports].map((reports) => reports.map((report) => report.type)),
    [['started'], ['ended']],
  )
})

test('an attempt that its host no longer has is lost if it had started, and starts if it had not', async (t) => {
  const { url } = await agent(t)
  const host = httpHost(t)
  const gone = new KeepingSink()
  host.resume(cmdSpec(url, 'echo 1'), { epoch: 1 }, { started: true, streams: {} }, gone)
  const end = await gone.ended
  assert.deepEqual([end.outcome, end.reason], ['interrupted', 'lost'])
  const fresh = new KeepingSink()
  host.resume(cmdSpec(url, 'echo 1'), { epoch: 1 }, { started: false, streams: {} }, fresh)
  assert.equal((await fresh.ended).outcome, 'success')
  assert.equal(fresh.text('stdout'), '1\n')
})

test('only the allowed number of attempts runs at once, and a waiting one can be canceled', async (t) => {
  const { url, attempts } = await agent(t)
  const host = httpHost(t, { maxAtOnce: 2 })
  const go = join(await folder(t), 'go')
  const specs = [0, 1, 2, 3].map(() => cmdSpec(url, `while ! [ -e ${go} ]; do sleep 0.02; done`))
  const sinks = specs.map((spec) => run(host, spec))
  await until(() => attempts.all().length === 2, 'two attempts')
  host.cancel(specs[2]!.attempt_id, 'canceled')
  assert.equal((await sinks[2]!.ended).outcome, 'canceled')
  await writeFile(go, '')
  for (const i of [0, 1, 3]) assert.equal((await sinks[i]!.ended).outcome, 'success')
  assert.equal(attempts.get(specs[2]!.attempt_id), undefined)
})

test('a second run with the same id does not get the results of the first', async (t) => {
  const { url } = await agent(t)
  const spec = cmdSpec(url, 'echo once')
  assert.equal((await run(httpHost(t), spec).ended).outcome, 'success')
  const end = await run(httpHost(t), spec).ended
  assert.deepEqual([end.outcome, end.reason], ['failed', 'host_refused'])
  assert.match(end.message!, /another run id/)
})

test('an output_path is for the local store: a host on this machine does not write to it', async (t) => {
  const { url } = await agent(t)
  const dir = await folder(t)
  const sink = run(httpHost(t), cmdSpec(url, '', { args: { cmd: 'echo here', output_path: dir } }))
  const end = await sink.ended
  assert.equal(end.outcome, 'success')
  assert.equal(end.output_files, undefined)
  assert.deepEqual(readdirSync(dir), [])
})

test('output that cannot be stored fails the attempt and stops its process', async (t) => {
  const { url } = await agent(t)
  const sink = new KeepingSink()
  sink.onOutput = () => {
    throw new Error('the disk is full')
  }
  const host = httpHost(t)
  const spec = cmdSpec(url, 'while :; do echo more; sleep 0.01; done')
  host.start(spec, host.place(spec), sink)
  const end = await sink.ended
  assert.deepEqual([end.outcome, end.reason], ['failed', 'output_failed'])
  assert.match(end.message!, /disk is full/)
  await until(() => processesOf(spec.attempt_id).length === 0, 'its process to end')
})

/** Returns the processes of an attempt, by the mark in their environment. */
function processesOf(attemptId: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8')
        .split('\0')
        .includes(`ERRAND_ATTEMPT_ID=${attemptId}`)
    } catch {
      return false
    }
  })
}

test('a step that requires a box is not sent to a host that would run it without one', async (t) => {
  const { url, attempts } = await agent(t)
  const host = httpHost(t)
  for (const unsupported of [{ isolation: 'sandbox' }, { isolation: 'none', network: 'models' }] as const) {
    const end = await run(host, cmdSpec(url, 'echo hi', unsupported)).ended
    assert.deepEqual([end.outcome, end.reason], ['failed', 'invalid_argument'])
    assert.match(end.message!, /asks for a sandbox, but host agents do not make boxes/)
  }
  // An attempt that stores files, or needs them, is refused, too.
  const file = { artifact_id: '1.1', name: 'a', bytes: 1, sha256: 'x', to: 'a' }
  for (const unsupported of [{ artifacts: ['*'] }, { needs_files: [file] }]) {
    const end = await run(host, cmdSpec(url, 'echo hi', unsupported)).ended
    assert.deepEqual([end.outcome, end.reason], ['failed', 'invalid_argument'])
    assert.match(end.message!, /which host agents do not support/)
  }
  assert.deepEqual(attempts.all(), [])
  const end = await run(host, cmdSpec(url, 'echo hi', { isolation: 'none', network: 'all' })).ended
  assert.equal(end.outcome, 'success')
  // Direct HTTP clients get the same refusal.
  const body = JSON.stringify({ action: 'cmd.run', args: { cmd: 'echo hi' }, isolation: 'container' })
  const headers = { authorization: 'Bearer T', 'content-type': 'application/json' }
  const answer = await fetch(`${url}/run`, { method: 'POST', headers, body })
  assert.equal(answer.status, 400)
  assert.match(await answer.text(), /asks for a container, but host agents do not make boxes/)
})
