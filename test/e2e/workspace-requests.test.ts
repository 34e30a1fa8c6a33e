import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { runTurn } from '../support/model-server/server.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

test("workflows and agents that request a workspace work in a checkout, with the hub's token", async (t) => {
  const { repository, token, programs } = await taskPlace(t, {
    script: [
      runTurn('cat README.md; env; echo x > left; git branch --show-current'),
      { text: 'I have read it.' },
      runTurn('ls left && test -d .git && echo still'),
      { text: 'It is there.' },
    ],
  })
  const { call, home } = programs
  const file = join(home, 'flow.yaml')
  const steps = 'steps:\n  - {name: use, action: cmd.run, args: {cmd: cat README.md && env}}\n'
  writeFileSync(file, `version: v0.1\nname: w\nworkspace: {repo: "${repository.cloneUrl}"}\n${steps}`)
  const ran = await call('run', '--hub', file)
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  assert.match(ran.stdout, /The shop\./)
  assert.equal(ran.stdout.includes(token), false)

  const ask = ['agent', '--hub', '--agent', 'builtin', '--repo', repository.cloneUrl, '--branch', 'fix']
  const output = await call(...ask, '--json', 'Read it')
  assert.equal(output.code, 0, output.stdout + output.stderr)
  assert.match(output.stdout, /The shop\..*nfix\\n/)
  assert.equal(output.stdout.includes(token), false)
  const run = (await programs.client.runs.list({})).runs.find(({ blueprint }) => blueprint === 'agent')!
  const more = await call('agent', '--hub', '--continue', run.run_id, '--json', 'Is it still there?')
  assert.equal(more.code, 0, more.stdout + more.stderr)
  assert.match(more.stdout, /nstill\\n/)

  const here = await call('agent', '--repo', repository.cloneUrl, 'Read it')
  assert.equal(here.code, 2)
  assert.match(here.stderr, /--repo needs --hub/)
})
