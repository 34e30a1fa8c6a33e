import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions } from '../../contract/actions.ts'
import { parseWorkflow } from './check.ts'
import { checksAside } from './check-aside.ts'

const steps = (count: number, step: (index: number) => string): string =>
  `version: v0.1\nname: large\nsteps:\n${Array.from({ length: count }, (_, index) => `  - ${step(index)}\n`).join('')}`

test('checking a file in another thread gives the same result, while everything else continues', async () => {
  const checkAside = checksAside()
  for (const text of [
    steps(2000, (index) => `{name: s${index}, action: cmd.run, args: {cmd: "echo \${HOST_NAME}"}}`),
    steps(2000, (index) => `{name: s${index}, action: cmd.rum, argz: {}}`),
    'version: [',
    steps(1, () => '{name: one, action: agent.run, args: {agent: nobody, prompt: hi}}'),
  ]) {
    let rounds = 0
    const count = setInterval(() => rounds++, 1)
    const aside = await checkAside({ text, agents: ['codex'] }, 'ann')
    clearInterval(count)
    assert.ok(rounds > 3, `${rounds} rounds of the event loop`)
    assert.deepEqual(aside, parseWorkflow(text, { catalog: builtinActions, agents: ['codex'] }))
  }
})

test('answers all simultaneous requests', async () => {
  const checkAside = checksAside()
  const checks = ['ann', 'ann', 'bob'].map((requester, index) =>
    checkAside({ text: steps(1, () => `{name: of-${requester}-${index}, action: noop}`) }, requester),
  )
  const names = (await Promise.all(checks)).map(({ workflow }) => workflow?.steps[0]?.name)
  assert.deepEqual(names, ['of-ann-0', 'of-ann-1', 'of-bob-2'])
})
