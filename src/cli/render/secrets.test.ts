import assert from 'node:assert/strict'
import test from 'node:test'
import type { StepView } from '../../contract/run.ts'
import { secretScopeText, takenSecretsText } from './secrets.ts'

test('what a secret is for is said with whose runs they are', () => {
  assert.deepEqual(
    [
      {},
      { workflow: 'deploy' },
      { workflow: 'deploy', owner: 'ann' },
      { repository: 'shop', owner: 'ann' },
    ].map(secretScopeText),
    ['all runs', 'runs of deploy', 'runs of deploy by ann', 'runs for shop by ann'],
  )
})

test('each step is shown once with the secrets that it was given last', () => {
  const given = (updated_by: string) => ({
    TOKEN: { name: 'TOKEN', scope: 'tenant', updated_by },
    KEY: { name: 'SSH_KEY', scope: 'workflow', workflow: 'deploy', owner: 'ann', updated_by: 'ann' },
  })
  const tries = { attempts: [{ secrets: given('old') }, { secrets: given('boss') }, {}] }
  const steps = [
    { step: 'one', instances: [tries, tries] },
    { step: 'two', instances: [{ attempts: [{}] }] },
  ] as unknown as StepView[]
  assert.equal(
    takenSecretsText(steps),
    'Secret TOKEN of one: the one for all runs, set by boss.\n' +
      'Secret KEY (SSH_KEY) of one: the one for runs of deploy by ann, set by ann.\n',
  )
  assert.equal(takenSecretsText(steps.slice(1)), '')
})
