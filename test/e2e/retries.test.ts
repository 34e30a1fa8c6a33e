import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { type Step, startPrograms, workflowText } from '../support/programs.ts'

const cmd = (name: string, text: string, more: object = {}): Step => ({
  name,
  action: 'cmd.run',
  args: { cmd: text },
  ...more,
})
const sub = (name: string, ...steps: Step[]): Step => ({
  name,
  action: 'workflow.run',
  args: { workflow: { version: 'v0.1', name: `${name} flow`, steps: steps as never } },
})

test('the command line retries part of a run, also within its sub-run, after it showed what that does', async (t) => {
  const programs = await startPrograms(t, { runner: 'own' })
  const file = join(programs.home, 'flow.yaml')
  const fixed = join(programs.home, 'mended')
  writeFileSync(
    file,
    workflowText([
      cmd('build', 'echo built'),
      sub(
        'release',
        cmd('pack', 'echo packed'),
        cmd('push', `echo "$ITEM"; test "$ITEM" != eu || test -e ${fixed}`, { foreach: ['eu', 'us'] }),
      ),
      cmd('tell', 'echo told'),
    ]),
  )
  await programs.call('run', '--hub', '--run-id', 'first', file)

  const dry = await programs.call('runs', 'retry', 'first', '--failed', '--dry-run')
  assert.equal(dry.code, 0, dry.stderr)
  assert.match(dry.stdout, /^release > pack +1$/m)
  assert.match(dry.stdout, /^release > push +1 +1 .*ITEM=eu/m)
  assert.match(dry.stdout, /attempt 2: 2 run, 1 reused\. Nothing was started\./)
  assert.match(dry.stdout, /errand runs retry first --failed$/m)
  const wrong = await programs.call('runs', 'retry', 'first', '--from', 'nowhere')
  assert.equal(wrong.code, 2, wrong.stderr)
  assert.match(wrong.stderr, /no main step "nowhere"/)

  writeFileSync(fixed, '')
  const again = await programs.call('runs', 'retry', 'first', '--failed', '--follow')
  assert.equal(again.code, 0, again.stderr + again.stdout)
  assert.match(again.stdout, /local \[ITEM=eu\] \| eu/)
  assert.doesNotMatch(again.stdout, /packed|\| us|built/)
  const within = await programs.call('runs', 'retry', 'first', '--from', 'release > push', '--skip', 'tell')
  assert.equal(within.code, 0, within.stderr)
  const third = await programs.ended(within.stdout.trim())
  assert.deepEqual(
    third.steps.map(({ step, status, reason }) => [step, status, reason]),
    [
      ['build', 'success', undefined],
      ['release', 'success', undefined],
      ['tell', 'skipped', 'left_out'],
    ],
  )
  const shown = await programs.call('runs', 'show', 'first')
  assert.match(shown.stdout, /^attempt 1 of 3; others: run_\S+ success, run_\S+ success$/m)
  const latest = await programs.call('runs', 'list', '--latest', '--workflow', 'flow')
  assert.match(latest.stdout, new RegExp(`^${third.run_id} `, 'm'))
  assert.doesNotMatch(latest.stdout, /^first /m)
})
