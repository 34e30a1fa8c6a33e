import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { ErrandClient } from '../../src/client/client.ts'
import type { ErrorBody } from '../../src/contract/errors.ts'
import { isFinalRun } from '../../src/contract/status.ts'
import { noMountNamespace } from '../faults/small-disk.ts'
import { errandCommand, eventually, type Started } from '../support/errand-command.ts'
import { freePort, startPrograms, workflowText, writeWorkflow } from '../support/programs.ts'
import {
  numbered,
  numberedLines,
  outputHash,
  readIfThere,
  sha256,
  wholeLog,
} from '../support/programs-output.ts'

const program = join(import.meta.dirname, '../../bin/errand')
const options = { skip: noMountNamespace() }

interface OnSmallDisk extends Pick<Started, 'child' | 'printed'> {
  /** The disk's folder as this process reaches it. In other processes, the same path is another, empty folder. */
  disk: string
  fill(): void
  free(): void
}

/** Starts `errand` in a namespace where `folder` is a separate disk of 24 MB. */
async function onSmallDisk(
  t: TestContext,
  { home, env }: { home: string; env: NodeJS.ProcessEnv },
  folder: string,
  args: string[],
): Promise<OnSmallDisk> {
  mkdirSync(folder, { recursive: true })
  const script = 'mount -t tmpfs -o size=24m,mode=700 small "$0" && exec "$@"'
  const words = ['--map-root-user', '--mount', 'sh', '-c', script, folder, program, ...args]
  const child = spawn('unshare', words, { env: { ...env, HOME: home } })
  const exited = once(child, 'close')
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
  })
  child.stdin.end()
  const printed = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text) => (printed.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text) => (printed.stderr += text))
  const disk = `/proc/${child.pid}/root${folder}`
  const filler = join(disk, 'filler')
  return {
    child,
    printed,
    disk,
    fill() {
      try {
        for (;;) appendFileSync(filler, Buffer.alloc(64 * 1024))
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
      }
    },
    free: () => rmSync(filler, { force: true }),
  }
}

test(
  'a full disk of the hub loses nothing: it refuses new work, and running work continues when there is room',
  options,
  async (t) => {
    const errand = errandCommand(t)
    const port = await freePort()
    const data = join(errand.home, 'data')
    const small = await onSmallDisk(t, errand, data, [
      'up',
      '--no-runner',
      '--port',
      String(port),
      '--data',
      data,
    ])
    const token = await eventually('the hub', () => {
      assert.equal(small.child.exitCode, null, small.printed.stderr)
      return (
        small.printed.stdout.includes('Errand is up') &&
        readFileSync(join(small.disk, 'local-token'), 'utf8').trim()
      )
    })
    const url = `http://127.0.0.1:${port}`
    const client = new ErrandClient({ url, token })
    const runnerToken = readFileSync(join(small.disk, 'runner-token'), 'utf8').trim()
    const workspace = join(errand.home, 'runner')
    const runner = errand.start(['runner', '--url', url, '--token', runnerToken, '--workspace', workspace])
    await runner.until('Connected to the hub')

    await client.runs.create({ run_id: 'first', yaml: workflowText([{ name: 'one', cmd: 'echo kept' }]) })
    await eventually('the first run', async () => (await client.runs.get('first')).status === 'success')
    const before = await wholeLog(client, 'first')
    const mark = join(errand.home, 'mark')
    const lines = { name: 'count', cmd: numberedLines(mark, 2000) }
    const more = { name: 'more', cmd: 'yes 0123456 | head -c 8000000' }
    await client.runs.create({ run_id: 'second', yaml: workflowText([lines, more]) })
    await eventually('some output', () => readIfThere(mark) !== '')

    small.fill()
    writeFileSync(`${mark}.go`, '')
    const file = writeWorkflow(join(errand.home, 'flow.yaml'), [{ name: 'one', cmd: 'echo hi' }])
    const refused = await eventually('a refusal', async () => {
      const found = await errand.run(['run', '--hub', '--detach', '--url', url, '--token', token, file])
      return found.code !== 0 && found
    })
    assert.equal(refused.code, 1, refused.stderr)
    assert.match(refused.stderr, /disk|full|space/)
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/gzip' }
    const upload = await fetch(`${url}/api/uploads`, {
      method: 'PUT',
      headers,
      body: Buffer.alloc(40_000_000),
    })
    assert.deepEqual([upload.status, ((await upload.json()) as ErrorBody).error.code], [507, 'disk_full'])
    assert.equal((await client.health()).status, 'ok')
    assert.deepEqual(await wholeLog(client, 'first'), before)
    assert.equal((await client.runs.get('second')).status, 'running')

    small.free()
    const second = await eventually('the end of the second run', async () => {
      const run = await client.runs.get('second')
      return isFinalRun(run.status) && run
    })
    assert.equal(second.status, 'success', JSON.stringify(second))
    assert.equal((await outputHash(client, 'second', 1)).sha256, sha256(numbered(2000)))
    assert.equal((await outputHash(client, 'second', 2)).length, 8_000_000)
    assert.equal(readIfThere(mark), 'x\n')
    await wholeLog(client, 'second')
    assert.deepEqual(await wholeLog(client, 'first'), before)
    assert.equal((await errand.run(['run', '--hub', '--url', url, '--token', token, file])).code, 0)
  },
)

test(
  'a program that starts on a full disk names the folder, for any file that does not fit first',
  options,
  async (t) => {
    const errand = errandCommand(t)
    const folder = join(errand.home, 'small')
    mkdirSync(folder)
    /** Starts `errand` with so many free pages. */
    const start = async (pages: number, ...args: string[]) => {
      const script =
        'mount -t tmpfs -o size=1m,mode=700 small "$0"; cat /dev/zero >"$0/filler" 2>/dev/null; ' +
        'truncate -s "-$(($1 * $(getconf PAGESIZE)))" "$0/filler"; shift; exec "$@"'
      const within = ['unshare', '--map-root-user', '--mount', 'sh', '-c', script, folder, String(pages)]
      const { code, stderr } = await errand.start(args, { within, env: { ERRAND_TOKEN: 'token' } }).finished
      return { code, stderr }
    }
    const here = join(folder, 'own')
    const flow = writeWorkflow(join(errand.home, 'flow.yaml'), [{ name: 'one', cmd: 'true' }])
    const runner = ['runner', '--url', 'http://127.0.0.1:9', '--id', 'a', '--workspace', here]
    const reported = (text: string) =>
      new RegExp(`error: No space is left ${text}.*\\.\n {2}hint: Free some space on that disk`)
    for (const [pages, args, text] of [
      [0, runner, `in the workspace ${here}`],
      [1, runner, `to write ${here}/attempts.storage`],
      [0, ['up', '--data', here], `in the data folder ${here}`],
      [1, ['up', '--data', here], `for the database ${here}/errand.db`],
      [1, ['agent-server', '--data', here], `to write ${here}/attempts.storage`],
      [0, ['run', flow, '--state', here], `in the state folder ${here}`],
    ] as const) {
      const { code, stderr } = await start(pages, ...args)
      assert.match(stderr, reported(text), `${args[0]}: ${stderr}`)
      assert.equal(code, 1, args[0])
    }
  },
)

test(
  'a step on a runner with a full disk fails and says so, and the hub has the earlier output',
  options,
  async (t) => {
    const programs = await startPrograms(t, { runner: 'none' })
    const { client, data, errand, home, url } = programs
    const token = readFileSync(join(data, 'runner-token'), 'utf8').trim()
    const workspace = join(home, 'small')
    const small = await onSmallDisk(t, errand, workspace, [
      'runner',
      '--url',
      url,
      '--token',
      token,
      '--workspace',
      workspace,
    ])
    await eventually('the runner', () => small.printed.stderr.includes('Connected to the hub'))
    const steps = [
      { name: 'one', cmd: 'echo kept' },
      { name: 'large', cmd: 'yes 0123456 | head -c 60000000 || exit 9' },
    ]
    await client.runs.create({ run_id: 'first', yaml: workflowText(steps) })
    const first = await programs.ended('first')
    assert.equal(first.status, 'failed', JSON.stringify(first))
    assert.equal((await outputHash(client, 'first', 1)).sha256, sha256('kept\n'))
    const { length } = await outputHash(client, 'first', 2)
    assert.ok(length > 1_000_000, `${length} bytes of the output that fitted are stored`)

    small.fill()
    await client.runs.create({ run_id: 'second', yaml: workflowText([{ name: 'one', cmd: 'echo hi' }]) })
    const second = await programs.ended('second')
    assert.equal(second.status, 'failed', JSON.stringify(second))
    assert.match(JSON.stringify(second.steps), /no space|ENOSPC|disk|written/i)
    small.free()
    await client.runs.create({ run_id: 'third', yaml: workflowText([{ name: 'one', cmd: 'echo hi' }]) })
    assert.equal((await programs.ended('third')).status, 'success')
  },
)

test('errand run on a full disk fails and says so, and leaves no process', options, async (t) => {
  const errand = errandCommand(t)
  const folder = join(errand.home, 'small')
  const steps = [
    { name: 'one', cmd: 'echo kept' },
    { name: 'large', cmd: 'yes 0123456 | head -c 60000000; sleep 1', args: { max_output_bytes: 1000 } },
    { name: 'never', cmd: 'echo never' },
  ]
  const file = writeWorkflow(join(errand.home, 'flow.yaml'), steps)
  for (const args of [
    ['--output-path', folder],
    ['--state', folder],
  ]) {
    const small = await onSmallDisk(t, errand, folder, ['run', file, ...args])
    await once(small.child, 'close')
    const { stdout, stderr } = small.printed
    assert.equal(small.child.exitCode, 1, `${args[0]}: ${stdout}\n${stderr}`)
    assert.match(`${stdout}${stderr}`, /disk|space/, `${args[0]}`)
    assert.match(stdout, /local \| kept\n/)
    assert.doesNotMatch(stdout, /\| never/)
  }
})
