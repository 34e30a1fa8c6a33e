import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { type Programs, processesOf, startPrograms, workflowText } from '../support/programs.ts'
import { outputHash, readIfThere, sha256, textOf, wholeLog } from '../support/programs-output.ts'
import { Cable, noCable } from './cable.ts'

const options = { skip: noCable() }
const SILENT = 'was silent for three heartbeats'

/** Starts a hub, and a runner at the other end of a cable. */
async function start(t: TestContext, lostAfter: string): Promise<{ cable: Cable; programs: Programs }> {
  const cable = Cable.open(t)
  const programs = await startPrograms(t, {
    host: cable.address,
    hubArgs: ['--heartbeat', '0.4s', '--lost-after', lostAfter],
    runnerWithin: cable.within,
  })
  return { cable, programs }
}

const statusOf = async ({ client }: Programs, id: string) =>
  (await client.runners.list()).find((runner) => runner.id === id)?.status

/** Waits until each side has noticed by itself that the other is gone. */
async function bothNotice(programs: Programs): Promise<void> {
  await programs.runner!.until(SILENT)
  await eventually('a hub that noticed', async () => (await statusOf(programs, 'apart')) === 'disconnected')
}

const line = (word: string, count: number): string =>
  Array.from({ length: count }, (_, index) => `${word} ${index + 1}\n`).join('')

test(
  'a cut shorter than the lease: both sides notice, work continues, and nothing is lost or duplicated',
  options,
  async (t) => {
    const { cable, programs } = await start(t, '10m')
    const { client, home } = programs
    const at = (name: string): string => join(home, name)
    const waits = (name: string): string => `while [ ! -e "${at(name)}" ]; do sleep 0.02; done`
    const print = (word: string): string =>
      `i=1; while [ $i -le 2000 ]; do echo "${word} $i"; i=$((i+1)); done`
    const again = { max_attempts: 3, backoff: { delay_seconds: 0 } }
    const steps = [
      {
        name: 'one',
        cmd: `echo one >>"${at('begun')}"; ${print('before')}; ${waits('cut')}; ${print('during')}; : >"${at('ended')}"`,
        retry: again,
      },
      { name: 'two', cmd: `echo two >>"${at('begun')}"; echo after`, retry: again },
    ]
    const { run_id } = await client.runs.create({ yaml: workflowText(steps) })
    await eventually('some output', async () => (await outputHash(client, run_id, 1)).length > 0)

    cable.cut()
    await bothNotice(programs)
    writeFileSync(at('cut'), '')
    await eventually('the end of the work on the other side', () => readdirSync(home).includes('ended'))
    // This run is canceled while the runner cannot be reached.
    const other = await client.runs.create({
      yaml: workflowText([{ name: 'wait', cmd: 'sleep 100000' }]),
    })
    await client.runs.cancel(other.run_id)
    cable.heal()

    const run = await programs.ended(run_id)
    assert.equal(run.status, 'success', JSON.stringify(run))
    assert.equal(readFileSync(at('begun'), 'utf8'), 'one\ntwo\n')
    const events = await wholeLog(client, run_id)
    assert.equal(events.filter(({ type }) => type === 'attempt.created').length, 2)
    const expected = `${line('before', 2000)}${line('during', 2000)}`
    assert.equal((await outputHash(client, run_id, 1)).sha256, sha256(expected))
    assert.equal(textOf(events, 1), expected)
    assert.equal((await programs.ended(other.run_id)).status, 'canceled')
  },
)

for (const where of ['another runner', 'the same runner'] as const) {
  test(
    `a cut longer than the lease: work is lost, or tried again on ${where}, and the copies do not mix`,
    options,
    async (t) => {
      const { cable, programs } = await start(t, '1s')
      const { client, home, errand, url, data } = programs
      const at = (name: string): string => join(home, name)
      // Each copy prints until it may end.
      const copy = (name: string): string =>
        [
          `echo x >>"${at(name)}-$ERRAND_TRY"; i=1`,
          `while [ ! -e "${at(name)}-$ERRAND_TRY.go" ]; do echo "copy $ERRAND_TRY $i"; i=$((i+1)); sleep 0.01; done`,
          'echo "end $ERRAND_TRY"',
        ].join('\n')
      const retry = { max_attempts: 2, backoff: { delay_seconds: 0 } }
      const again = await client.runs.create({
        yaml: workflowText([{ name: 'one', cmd: copy('again'), retry, on_disconnect: 'continue' }]),
      })
      const once = await client.runs.create({ yaml: workflowText([{ name: 'one', cmd: copy('once') }]) })
      for (const { run_id } of [again, once])
        await eventually('some output', async () => (await outputHash(client, run_id, 1)).length > 100)
      if (where === 'another runner') {
        const token = readFileSync(join(data, 'runner-token'), 'utf8').trim()
        const words = ['--id', 'other', '--workspace', at('other'), '--url', url, '--token', token]
        await errand.start(['runner', ...words]).until('Connected to the hub')
      }

      cable.cut()
      await bothNotice(programs)
      const lost = await programs.ended(once.run_id)
      assert.deepEqual([lost.status, lost.steps[0]!.reason], ['failed', 'lost'], JSON.stringify(lost))
      const attempts = async () => (await client.runs.get(again.run_id)).steps[0]!.instances[0]!.attempts
      const secondPrints = async (): Promise<boolean> =>
        (await attempts()).length === 2 && (await outputHash(client, again.run_id, 2)).length > 0
      if (where === 'another runner') await eventually('the second copy', secondPrints)
      else await eventually('the second attempt', async () => (await attempts()).length === 2)
      assert.equal(readIfThere(at('again-1')), 'x\n')
      assert.ok(processesOf(home, 'ERRAND_TRY=1\0').length > 0, 'the first copies continue meanwhile')

      cable.heal()
      await eventually('the end of the first copies', () => processesOf(home, 'ERRAND_TRY=1\0').length === 0)
      await eventually('the second copy', secondPrints)
      writeFileSync(`${at('again-2')}.go`, '')
      const run = await programs.ended(again.run_id)
      assert.equal(run.status, 'success', JSON.stringify(run))
      const [first, second] = await attempts()
      assert.deepEqual([first!.outcome, first!.runner], ['failed', 'apart'])
      assert.equal(second!.runner, where === 'another runner' ? 'other' : 'apart')
      for (const name of ['again-1', 'again-2', 'once-1'])
        assert.equal(readIfThere(at(name)), 'x\n', `${name} started once`)

      const events = await wholeLog(client, again.run_id)
      const ends = events.filter(({ type }) => type === 'attempt.finished')
      assert.deepEqual(
        ends.map((event) => ('reason' in event ? event.reason : undefined)),
        ['lost', undefined],
      )
      assert.match(textOf(events, 1), /^(copy 1 \d+\n)+(copy[ \d]*)?$/)
      assert.match(textOf(events, 2), /^(copy 2 \d+\n)+end 2\n$/)
      for (const number of [1, 2]) {
        const text = textOf(events, number)
        assert.equal((await outputHash(client, again.run_id, number)).sha256, sha256(text))
        const counted = [...text.matchAll(/^copy \d (\d+)\n/gm)].map((match) => Number(match[1]))
        assert.deepEqual(
          counted,
          counted.map((_, index) => index + 1),
        )
      }
      await wholeLog(client, once.run_id)
      await eventually(
        'a runner that has released everything',
        () =>
          ['attempts', 'runs'].flatMap((name) => readdirSync(join(programs.runnerFolder, name))).length === 0,
      )
    },
  )
}
