import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCondition } from './condition.ts'
import { allowedEnv, type ConditionFacts, conditionHolds } from './condition-facts.ts'

const facts: ConditionFacts = {
  metadata: {
    lint_enabled: true,
    off: false,
    asText: 'true',
    zero: 0,
    count: 3,
    version: '10',
    stage: 'live',
    empty: '',
    tags: ['a', 'b'],
    none: [],
    deep: { inner: { value: 1 } },
    gone: null,
    task: 'shadowed',
  },
  task: { title: 'Mend', required_skill: 'backend' },
  env: { CI: 'true', NODE_ENV: 'test' },
  changed: ['src/a/b.ts', 'README.md', '.github/workflows/ci.yml'],
}
const holds = (text: string, context: ConditionFacts = facts) => conditionHolds(parseCondition(text), context)

test('conditions hold or fail as they read', () => {
  const cases: Record<string, boolean> = {
    'lint_enabled == true': true,
    'metadata.lint_enabled == true': true,
    lint_enabled: true,
    off: false,
    'not off': true,
    asText: true,
    'asText == true': true,
    'asText == "true"': true,
    'zero || empty || none': false,
    tags: true,
    'tags.1 == "b" and tags.length == 2': true,
    'tags == tags': false,
    'tags != null': true,
    'deep.inner.value == 1': true,
    'count == "3"': true,
    'count == 3.0': true,
    'count == true': false,
    'count > 2 && count <= 3': true,
    'version > 9': true,
    'version < "9"': false,
    'stage < "m"': true,
    'stage > 1': false,
    'stage <= 1': false,
    'task.title == "Mend" and task.required_skill != "frontend"': true,
    'task == "shadowed"': true,
    'env.CI': true,
    'env.CI == true': true,
    'env.HOME == null': true,
    'changed("src/**")': true,
    'changed("**/*.md")': true,
    'changed("*.ts")': false,
    '!changed("docs/**")': true,
    'changed(".github/**") == true': true,
    'a || lint_enabled && stage == "live"': true,
    '(a || lint_enabled) && stage == "test"': false,
  }
  for (const [text, expected] of Object.entries(cases)) assert.equal(holds(text), expected, text)
})

test('an unknown name is null: equal only to null, neither less nor greater than anything', () => {
  const cases: Record<string, boolean> = {
    'missing == true': false,
    'missing == false': false,
    'missing == null': true,
    'gone == null': true,
    'missing == other': true,
    'missing != true': true,
    'missing == 0': false,
    'missing == ""': false,
    'missing < 1': false,
    'missing >= 0': false,
    'missing <= missing': false,
    missing: false,
    '!missing': true,
    'stage.length == null': true,
    'constructor == null': true,
    '__proto__.polluted == null': true,
    'deep.toString == null': true,
  }
  for (const [text, expected] of Object.entries(cases)) assert.equal(holds(text), expected, text)
  assert.equal(holds('lint_enabled == true', {}), false)
  assert.equal(holds('changed("**")', {}), false)
})

test('conditions read only a few environment variables, and those that an operator names', () => {
  const env = { CI: '1', HOME: '/home/user', REGION: 'eu', GITHUB_TOKEN: 'x' }
  assert.deepEqual(allowedEnv(env), { CI: '1' })
  assert.deepEqual(allowedEnv(env, ['REGION', 'NOT_THERE']), { CI: '1', REGION: 'eu' })
})
