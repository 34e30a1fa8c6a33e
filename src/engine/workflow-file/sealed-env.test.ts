import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions } from '../../contract/actions.ts'
import type { Workflow, WorkflowFile } from '../../contract/workflow.ts'
import { checkWorkflow } from './check.ts'
import { sealedEnv } from './sealed-env.ts'

const workflow = (file: Omit<WorkflowFile, 'version' | 'name'>): Workflow => {
  const { workflow, problems } = checkWorkflow(
    { version: 'v0.1', name: 'w', ...file },
    { catalog: builtinActions },
  )
  assert.ok(workflow, JSON.stringify(problems))
  return workflow
}
const step = (over: object = {}) => ({ name: 'a', action: 'cmd.run', args: { cmd: 'x' }, ...over })
const seal = (file: Omit<WorkflowFile, 'version' | 'name'>, names: string[] = []) =>
  sealedEnv(workflow(file), new Set(names), builtinActions)

test('credentials of steps become secrets of the steps, and everything else stays unchanged', () => {
  const { workflow, values } = seal({
    env: { REGION: 'north' },
    steps: [
      step({
        env: { API_KEY: 'sesame-1', PLAIN: 'x', FLAG_TOKEN: true, EMPTY_TOKEN: '', PIN_TOKEN: 123456 },
      }),
      step({ name: 'b', env: { API_KEY: 'sesame-2' }, secrets: ['OTHER'] }),
      step({ name: 'c', env: { API_KEY: 'sesame-1', MARKED_KEY: 'a$${b}' } }),
      step({ name: 'd' }),
    ],
  })
  assert.deepEqual(values, {
    ERRAND_ENV_API_KEY: 'sesame-1',
    ERRAND_ENV_PIN_TOKEN: '123456',
    ERRAND_ENV_API_KEY_2: 'sesame-2',
    ERRAND_ENV_MARKED_KEY: 'a${b}',
  })
  const [a, b, c, d] = workflow.steps
  const use = (secret: string) => ({ secret, as: 'env' })
  assert.deepEqual(a!.env, { PLAIN: 'x', FLAG_TOKEN: true, EMPTY_TOKEN: '' })
  assert.deepEqual(a!.secrets, { API_KEY: use('ERRAND_ENV_API_KEY'), PIN_TOKEN: use('ERRAND_ENV_PIN_TOKEN') })
  assert.deepEqual(b!.secrets, { API_KEY: use('ERRAND_ENV_API_KEY_2'), OTHER: 'OTHER' })
  assert.deepEqual(Object.keys(c!.secrets!), ['API_KEY', 'MARKED_KEY'])
  assert.equal(d!.secrets, undefined)
  assert.deepEqual(workflow.env, { REGION: 'north' })
  assert.ok(!JSON.stringify(workflow).includes('sesame'))
})

test("the workflow's own credentials go to each step that does not override them, with derived variables", () => {
  const { workflow, values } = seal({
    env: { DB_PASSWORD: 'sesame-1', URL: 'db://u:${DB_PASSWORD}@h', LONG: '${URL}?x', REGION: 'north' },
    steps: [
      step({ env: { MINE: '${LONG}&y' } }),
      step({ name: 'b', matrix: { DB_PASSWORD: ['m'] } }),
      step({ name: 'c', env: { DB_PASSWORD: 'sesame-2', URL: 'own' } }),
    ],
    finally: [step({ name: 'z' })],
  })
  assert.deepEqual(workflow.env, { REGION: 'north' })
  assert.deepEqual(values, { ERRAND_ENV_DB_PASSWORD: 'sesame-1', ERRAND_ENV_DB_PASSWORD_2: 'sesame-2' })
  const [a, b, c] = workflow.steps
  assert.deepEqual(a!.env, { URL: 'db://u:${DB_PASSWORD}@h', LONG: '${URL}?x', MINE: '${LONG}&y' })
  assert.deepEqual(Object.keys(a!.secrets!), ['DB_PASSWORD'])
  assert.equal(b!.secrets, undefined)
  assert.deepEqual(c!.secrets, { DB_PASSWORD: { secret: 'ERRAND_ENV_DB_PASSWORD_2', as: 'env' } })
  assert.equal(c!.env!.URL, 'own')
  assert.deepEqual(Object.keys(workflow.finally![0]!.secrets!), ['DB_PASSWORD'])
})

test('what the engine itself reads stays, and values that the caller has overridden are not stored', () => {
  const file = {
    env: {
      A_KEY: 'sesame-1',
      B_KEY: 'sesame-2',
      C_KEY: 'sesame-3',
      D_KEY: 'sesame-4',
      BOTH: '${D_KEY}',
      E_KEY: 'sesame-5',
    },
    outputs: { OUT: '${C_KEY} ${BOTH}' },
    steps: [
      step({ when: '${A_KEY} != ""' }),
      { name: 'b', action: 'vars.set', args: { vars: { X: '${B_KEY}' } } },
      step({ name: 'c', outputs: { E_KEY: 'stdout' } }),
    ],
  }
  assert.deepEqual(seal(file).values, {})
  const sealed = seal({ env: { A_KEY: 'sesame-1' }, steps: [step()] }, ['A_KEY'])
  assert.deepEqual(sealed.values, {})
  const checked = workflow({ env: { REGION: 'north' }, steps: [step()] })
  assert.equal(sealedEnv(checked, new Set(), builtinActions).workflow, checked)
})

test('seals sub-workflows too, and the result can be checked again', () => {
  const inner = {
    version: 'v0.1',
    name: 'inner',
    env: { API_KEY: 'sesame-1', HEADER: 'Bearer ${API_KEY}' },
    steps: [
      {
        name: 'x',
        action: 'http.request',
        args: { url: 'http://h/${API_KEY}', headers: { a: '${HEADER}' } },
      },
    ],
  }
  const sub = (name: string, env?: Record<string, string>) => ({
    name,
    action: 'workflow.run',
    env,
    args: { workflow: inner },
  })
  const { workflow, values } = seal({ steps: [sub('a'), sub('b', { UNREAD_TOKEN: 'sesame-2' })] })
  assert.deepEqual(values, { ERRAND_ENV_API_KEY: 'sesame-1' })
  assert.ok(!JSON.stringify(workflow).includes('sesame'))
  const again = checkWorkflow(workflow.steps[0]!.args.workflow, { catalog: builtinActions })
  assert.deepEqual(again.problems, [])
})
