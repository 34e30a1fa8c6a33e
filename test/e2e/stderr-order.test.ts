import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import type { Line, Lines, LinesQuery } from '../../src/contract/run-api.ts'
import { eventually } from '../support/errand-command.ts'
import { startPrograms } from '../support/programs.ts'
import { seeded } from '../support/seeded.ts'

const MOST_AWAY = 64 * 1024
/** The number of bytes of each line on stdout. */
const LINE = 'line 0000000 of the log\n'.length
const print = (from: number, to: number) => `seq -f "line %07.0f of the log" ${from} ${to}`

test('a stderr line has the right place in the log, in bursts or alone, live, after a kill and at the end', async (t) => {
  const random = seeded()
  const programs = await startPrograms(t)
  const { client, home } = programs
  const go = (name: string) => writeFileSync(join(home, name), '')
  const wait = (name: string) => `until [ -e ${home}/${name} ]; do sleep 0.02; done`
  const before = Math.round(random.between(1, 20_000))
  const many = Math.round(random.between(1, 1_000_000))
  const steps = [
    `${print(1, before)}; echo HERE >&2; ${print(before + 1, 20_000)}`,
    `${print(1, many)}; echo HERE >&2; ${print(many + 1, 1_000_000)}`,
    `${print(1, before)}; ${wait('one')}; echo HERE >&2; ${wait('two')}; ${print(before + 1, 40_000)}; ${wait('three')}; echo END >&2`,
  ].map((cmd, at) => ({ name: `s${at}`, action: 'cmd.run', args: { cmd } }))
  const { run_id } = await client.runs.create({ workflow: { version: 'v0.1', name: 'order', steps } })

  const ask = async (attempt: number, query: LinesQuery): Promise<Lines> =>
    await client.runs.lines(run_id, attempt, query)
  const find = async (attempt: number, text: string): Promise<Line | undefined> => {
    const { last_stderr } = await ask(attempt, { tail: 0 }).catch(() => ({ last_stderr: undefined }))
    if (!last_stderr) return undefined
    const { lines } = await ask(attempt, last_stderr)
    return lines.find((line) => line.text === text)
  }
  const bytesOf = async (attempt: number) => (await ask(attempt, { tail: 0 }).catch(() => undefined))?.bytes

  await eventually(
    'all of the third step but its stderr lines',
    async () => (await bytesOf(3)) === before * LINE,
  )
  for (const [attempt, place] of [
    [1, before],
    [2, many],
  ] as const) {
    const { number, unordered } = (await find(attempt, 'HERE'))!
    const away = Math.abs(number - 1 - place) * LINE
    assert.ok(unordered || away <= MOST_AWAY, `line ${number} is ${away} bytes from its place`)
    const { stdout } = await programs.call(
      'runs',
      'logs',
      run_id,
      '--step',
      `s${attempt - 1}`,
      '--lines',
      `${number}`,
    )
    assert.match(stdout, unordered ? /^ *\d+≈! HERE\n$/ : /^ *\d+ ! HERE\n$/)
    console.log(`attempt ${attempt}: ${away} bytes from its place${unordered ? ', marked' : ''}`)
  }

  go('one')
  await eventually('the line on stderr', async () => (await find(3, 'HERE')) !== undefined)
  const ordered = async () => {
    const { number, unordered } = (await find(3, 'HERE')) ?? {}
    assert.deepEqual([number, unordered], [before + 1, undefined])
  }
  await ordered()
  await programs.kill('runner')
  go('two')
  await programs.startRunner()
  await eventually('the rest', async () => (await bytesOf(3)) === 40_000 * LINE + 5)
  await ordered()
  await programs.kill('hub')
  await programs.startHub()
  await eventually('the hub', async () => (await bytesOf(3)) === 40_000 * LINE + 5)
  await ordered()
  go('three')
  assert.equal((await programs.ended(run_id)).status, 'success')
  assert.deepEqual([(await find(3, 'END'))?.number, (await find(3, 'END'))?.unordered], [40_002, undefined])
  const { lines } = await ask(3, { from: before + 1, to: before + 1 })
  assert.deepEqual([lines[0]!.text, lines[0]!.unordered], ['HERE', undefined])
})
