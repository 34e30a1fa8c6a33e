import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { outputHash, sha256, textOf, wholeLog } from '../support/programs-output.ts'

/** Hub and runner of neighbouring releases work together. Nothing was released before this commit. */
const LAST_RELEASE = '4abf015f77a501e1d09f91583176ddcaa82b4df6'

const root = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'errand-last-release-'))
after(() => rmSync(folder, { recursive: true, force: true }))

/** Why it cannot be had; false: it is in the folder. */
function noRelease(): string | false {
  try {
    const tree = join(folder, 'tree.tar')
    execFileSync(
      'git',
      ['-C', root, 'archive', '--output', tree, LAST_RELEASE, 'bin', 'src', 'package.json'],
      {
        stdio: 'pipe',
      },
    )
    execFileSync('tar', ['-xf', tree, '-C', folder])
  } catch (error) {
    return `the history without ${LAST_RELEASE}, or no git: ${String((error as Error).message).split('\n')[0]}`
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return false
}

/** Words before a command of this release that run it in the last one instead. */
const within = ['/bin/sh', '-c', `shift; exec "${join(folder, 'bin/errand')}" "$@"`, 'errand']

const skip = noRelease()
for (const [what, which] of [
  ['a runner of the last release at this hub', { runnerWithin: within }],
  ['this runner at a hub of the last release', { hubWithin: within }],
] as const)
  test(`${what}: steps, output and a retry arrive whole, over a restart of both`, { skip }, async (t) => {
    const programs = await startPrograms(t, which)
    const { client, home } = programs
    const go = join(home, 'go')
    const lines = 'i=1; while [ $i -le 3000 ]; do echo "line $i"; i=$((i+1)); done'
    const retry = { max_attempts: 2, backoff: { delay_seconds: 0 } }
    const steps = [
      { name: 'print', cmd: lines },
      { name: 'again', cmd: 'echo "try $ERRAND_TRY" >&2; [ "$ERRAND_TRY" = 2 ]', retry },
      {
        name: 'wait',
        cmd: `echo begun | tee "${home}/begun"; while [ ! -e "${go}" ]; do sleep 0.02; done; ${lines}`,
      },
      { name: 'write', action: 'vars.set', args: { vars: { A: 'b' } } },
    ]
    const { run_id } = await client.runs.create({ yaml: workflowText(steps) })
    const other = await client.runs.create({ yaml: workflowText([{ name: 'long', cmd: 'sleep 100000' }]) })
    await eventually('the last step', () => existsSync(join(home, 'begun')))
    // Both come back, and compare what each of them has.
    await programs.kill('runner', 'hub')
    await programs.startHub()
    await programs.startRunner()
    await programs.runner!.until('Connected to the hub')
    writeFileSync(go, '')
    const run = await programs.ended(run_id)
    assert.equal(run.status, 'success', JSON.stringify(run))
    await client.runs.cancel(other.run_id)
    assert.equal((await programs.ended(other.run_id)).status, 'canceled')

    const events = await wholeLog(client, run_id)
    const printed = Array.from({ length: 3000 }, (_, index) => `line ${index + 1}\n`).join('')
    assert.equal((await outputHash(client, run_id, 1)).sha256, sha256(printed))
    assert.equal(textOf(events, 1), printed)
    assert.equal(textOf(events, 4), `begun\n${printed}`)
    assert.deepEqual(
      run.steps[1]!.instances[0]!.attempts.map(({ outcome }) => outcome),
      ['failed', 'success'],
    )
    const printedByBoth = `${programs.hub.printed.stderr}${programs.runner!.printed.stderr}`
    assert.doesNotMatch(printedByBoth, /left aside|no frame|refused/)
  })
