import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judge, pathKind, protector } from './protected-paths.ts'

test("the first matching rule decides, the task's before the defaults, ignoring case", () => {
  const protect = protector([
    { paths: ['.github/workflows/docs.yml', 'test/**'], decision: 'flag' },
    { paths: ['src/secret/**', 'test/fixed.ts'], decision: 'forbid' },
  ])
  const paths = {
    '.github/workflows/docs.yml': 'flag',
    '.github/workflows/ci.yml': 'ask',
    '.GitHub/Workflows/ci.yml': 'ask',
    '.errand/playbook.yaml': 'ask',
    'errand.yaml': 'ask',
    'docs/errand.yaml': undefined,
    'src/secret/a/b': 'forbid',
    'test/fixed.ts': 'flag',
    'src/a.test.ts': 'flag',
    'src/a.ts': undefined,
  }
  assert.deepEqual(Object.fromEntries(Object.keys(paths).map((path) => [path, protect(path)])), paths)
  const requested = ['.github/workflows/ci.yml', '.errand/x', '.errand/x']
  assert.deepEqual(judge([...requested, 'src/secret/a', 'src/a.test.ts', 'src/a.ts'], protect), {
    forbidden: ['src/secret/a'],
    asked: ['.github/workflows/ci.yml', '.errand/x'],
    flagged: ['src/a.test.ts'],
  })
})

test('tests, CI files, hooks and owners are distinguished from others', () => {
  const kinds = {
    'test/a.ts': 'test',
    'pkg/a_test.go': 'test',
    'tests/unit/test_a.py': 'test',
    'src/test_a.py': 'test',
    'src/FooTest.java': 'test',
    'src/__tests__/a.js': 'test',
    'src/contest.ts': undefined,
    'src/latest/a.ts': undefined,
    '.gitlab-ci.yml': 'ci',
    '.circleci/config.yml': 'ci',
    '.husky/pre-commit': 'hook',
    'docs/CODEOWNERS': 'owners',
    CODEOWNERS: 'owners',
  }
  assert.deepEqual(Object.fromEntries(Object.keys(kinds).map((path) => [path, pathKind(path)])), kinds)
})
