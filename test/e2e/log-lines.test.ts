import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { startPrograms } from '../support/programs.ts'

/**
 * Returns a command that writes to both streams. Each part waits for a file, which the test creates once the part
 * before was reported.
 */
const cmd = (folder: string) =>
  [
    'seq -f "line %g of the log, which is long enough to be worth an index" 1 100000',
    `until [ -e ${folder}/told ]; do sleep 0.05; done`,
    'echo "Error: timeout" >&2',
    `until [ -e ${folder}/told-too ]; do sleep 0.05; done`,
    "printf 'last \\033[31mred\\033[0m'",
  ].join('; ')

const SEQ_BYTES = Array.from(
  { length: 100_000 },
  (_, at) => `line ${at + 1} of the log, which is long enough to be worth an index\n`.length,
).reduce((sum, length) => sum + length)

test('lines of a step are printed by number, from the end and by search, before and after a kill', async (t) => {
  const programs = await startPrograms(t)
  const steps = [
    { name: 'first', action: 'cmd.run', args: { cmd: 'echo one; echo two' } },
    { name: 'second', action: 'shell.run', args: { script: cmd(programs.home) } },
  ]
  const { run_id } = await programs.client.runs.create({
    workflow: { version: 'v0.1', name: 'lines', steps },
  })
  let bytes = 0
  for await (const event of programs.client.events(run_id, { outputBytes: 0 })) {
    if (event.type !== 'output' || event.attempt !== 2) continue
    bytes += event.length
    const isAllOfSeq = event.stream === 'stdout' && bytes === SEQ_BYTES
    if (isAllOfSeq) writeFileSync(join(programs.home, 'told'), '')
    if (event.stream === 'stderr') writeFileSync(join(programs.home, 'told-too'), '')
  }
  const logs = (...args: string[]) => programs.call('runs', 'logs', run_id, ...args)

  const ask = async () => {
    assert.equal((await logs('--step', 'first', '--lines', '2-')).stdout, '     2 | two\n')
    assert.equal(
      (await logs('--step', 'second', '--lines', '99999-100001')).stdout,
      `${[99_999, 100_000]
        .map(
          (n) =>
            `${String(n).padStart(6)} | line ${n} of the log, which is long enough to be worth an index\n`,
        )
        .join('')}100001 ! Error: timeout\n`,
    )
    assert.equal(
      (await logs('--step', 'second@local', '--lines', '-2')).stdout,
      '100001 ! Error: timeout\n100002 | last red\n',
    )
    assert.equal(
      (await logs('--step', 'second', '--grep', 'TIMEOUT|last r', '--regex')).stdout.split('\n').length,
      3,
    )
    assert.match((await logs('--step', 'second', '--grep', 'line 77777 ')).stdout, /^ 77777 \| line 77777 of/)
  }
  await ask()
  assert.ok(existsSync(join(programs.data, 'output', run_id, '2.lines')))
  await programs.kill('hub')
  await programs.startHub()
  await ask()

  const [line] = (await logs('--step', 'second', '--grep', 'timeout', '--json')).stdout.trim().split('\n')
  const { time, ...rest } = JSON.parse(line!)
  assert.deepEqual(rest, {
    ...{ type: 'line', number: 100_001, stream: 'stderr', text: 'Error: timeout' },
    ranges: [[7, 14]],
  })
  assert.ok(Date.parse(time) > 0)
  for (const [args, expected] of [
    [['--lines', '1-2'], /--step must name a single log.*use --step with one of: first, second/s],
    [['--step', 'third'], /"third" has no log.*first, second/s],
    [['--step', 'first', '--lines', 'x'], /--lines is "x"/],
    [['--step', 'first', '--lines', '9-2'], /--lines is "9-2"/],
    [['--step', 'first', '--grep', 'a(b', '--regex'], /at character 3/],
    [['--step', 'first', '--follow'], /--follow cannot be combined with/],
    [['--regex'], /--grep/],
  ] as const) {
    const { code, stderr } = await logs(...args)
    assert.notEqual(code, 0, args.join(' '))
    assert.match(stderr, expected)
  }
})
