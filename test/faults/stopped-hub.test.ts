import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { outputHash, sha256, textOf, wholeLog } from '../support/programs-output.ts'

const LINES = 20_000
const printed = Array.from({ length: LINES }, (_, index) => `line ${index + 1}\n`).join('')

for (const then of ['goes on', 'is killed and started again'] as const) {
  test(`a hub that is frozen until all work and all tries to reach it have ended, and then ${then}, has everything`, async (t) => {
    const programs = await startPrograms(t, { hubArgs: ['--heartbeat', '0.2s'] })
    const { client, home } = programs
    const ids = ['a', 'b', 'c']
    const at = (name: string): string => join(home, name)
    const print = (id: string): string =>
      [
        `echo "$ERRAND_ATTEMPT_ID" >>"${at(id)}"; echo first`,
        `while [ ! -e "${at('go')}" ]; do sleep 0.02; done`,
        `i=1; while [ $i -le ${LINES} ]; do echo "line $i"; i=$((i+1)); done; : >"${at(id)}.ended"`,
      ].join('\n')
    for (const id of ids) {
      const retry = { max_attempts: 3, backoff: { delay_seconds: 0 } }
      const steps = [
        { name: 'print', cmd: print(id), retry },
        { name: 'after', cmd: `echo after; echo "$ERRAND_ATTEMPT_ID" >>"${at(id)}"`, retry },
      ]
      await client.runs.create({ run_id: id, yaml: workflowText(steps) })
    }
    for (const id of ids)
      await eventually(`output of ${id}`, async () => (await outputHash(client, id, 1)).length > 0)
    programs.hub.child.kill('SIGSTOP')
    writeFileSync(at('go'), '')
    for (const id of ids)
      await eventually(`the end of the work of ${id}`, () => existsSync(at(`${id}.ended`)))
    await programs.runner!.until('was silent for three heartbeats')
    // The system accepts the next connection for the hub, which does not answer on it.
    await programs.runner!.until(/Opening handshake has timed out/)
    if (then === 'goes on') programs.hub.child.kill('SIGCONT')
    else {
      await programs.kill('hub')
      await programs.runner!.until(/ECONNREFUSED/)
      await programs.startHub()
    }

    for (const id of ids) {
      const run = await programs.ended(id)
      assert.equal(run.status, 'success', JSON.stringify(run))
      assert.equal(readFileSync(at(id), 'utf8'), `${id}.1\n${id}.2\n`)
      const events = await wholeLog(client, id)
      assert.equal(events.filter(({ type }) => type === 'attempt.created').length, 2)
      assert.equal(textOf(events, 1), `first\n${printed}`)
      assert.equal((await outputHash(client, id, 1)).sha256, sha256(`first\n${printed}`))
    }
  })
}
