import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { secretUses } from '../../contract/step-secrets.ts'
import { GivenSecrets } from './given-secrets.ts'

const spec = (secrets: Parameters<typeof secretUses>[0]) => ({ secrets: secretUses(secrets) }) as AttemptSpec

test('an attempt gets the secrets that it names, under the variables that it names', async () => {
  const secrets = new GivenSecrets({ A: 'a', B: 'b' })
  assert.deepEqual(await secrets.reveal(spec({ X: 'A', KEY: { mounted: 'key', as: 'env' } })), { X: 'a' })
  assert.deepEqual(await secrets.reveal({} as AttemptSpec), {})
  await assert.rejects(secrets.reveal(spec(['A', 'toString'])), {
    code: 'secret_not_found',
    message: /not given: "toString"\./,
  })
})

test('refuses a run with the names of all missing secrets, including those in sub-workflows', async () => {
  const step = (secrets: string[]) => ({ name: 'one', action: 'noop', args: {}, secrets })
  const inner = { name: 'inner', steps: [step(['B', 'C'])] }
  const workflow = {
    name: 'outer',
    steps: [step(['A', 'C']), { name: 'two', action: 'workflow.run', args: { workflow: inner } }],
    finally: [step(['D'])],
  }
  await assert.rejects(new GivenSecrets({ A: 'a' }).admit({ workflow }), {
    code: 'invalid_argument',
    message: /"C", "D", "B"/,
  })
  await new GivenSecrets({ A: '', B: '', C: '', D: '' }).admit({ workflow })
})
