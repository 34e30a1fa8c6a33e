import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import test from 'node:test'
import fc from 'fast-check'
import { Task, type TaskInput } from '../contract/tasks/task.ts'
import { fillText, lookupIn } from '../engine/workflow-file/template.ts'
import { bodyOf, branchOf, commitMessage, titleOf } from './task-texts.ts'

const task = (overrides: Partial<TaskInput> = {}): Task => Task.parse({ title: 'Mend it', ...overrides })

/** Reports Git's own judgment. */
function isBranch(name: string): boolean {
  try {
    execFileSync('git', ['check-ref-format', '--branch', name], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

test('a branch is named after its task, and Git accepts the name', () => {
  assert.equal(
    branchOf(task({ title: 'Füge die Anmeldung hinzu!' }), 'T-1'),
    'errand/tasks-t-1-fuge-die-anmeldung-hinzu',
  )
  assert.equal(branchOf(task({ title: '修正' }), 'T-1'), 'errand/tasks-t-1')
  assert.ok(isBranch(branchOf(task({ title: `x${' ..lock~^:'.repeat(20)}.lock` }), '@{x}')))
})

test('exactly the names that Git would reject are refused', () => {
  const names = fc
    .array(fc.constantFrom('a', 'B', '/', '.', '-', '..', '.lock', '@', '{', '~', ' ', ':', '\\', 'é', '*'), {
      minLength: 1,
      maxLength: 6,
    })
    .map((parts) => parts.join(''))
  fc.assert(
    fc.property(names, (name) => {
      const taken = (() => {
        try {
          return branchOf(task({ branch_name: name }), 'x') === name.trim()
        } catch {
          return false
        }
      })()
      if (taken) assert.ok(isBranch(name.trim()), name)
      else assert.ok(!isBranch(name.trim()) || name.trim() === '@', name)
    }),
    { numRuns: 60 },
  )
})

test('the subject of a commit message is short enough for lists to show it whole', () => {
  assert.equal(
    commitMessage(task({ acceptance_criteria: ['fast', 'small'], issue: 'https://f.example/o/r/issues/1' })),
    'Mend it\n\n- fast\n- small\n\nIssue: https://f.example/o/r/issues/1',
  )
  const [subject, blank, whole] = commitMessage(task({ title: 'long '.repeat(20) })).split('\n')
  assert.ok(subject!.length <= 72 && subject!.endsWith('…') && blank === '' && whole!.length === 99)
  assert.equal(commitMessage(task({ title: 'a\n\nSigned-off-by: x' })), 'a Signed-off-by: x')
})

test("a pull request's body says what it is for, and mentions nobody", () => {
  const body = (overrides: Partial<TaskInput>) =>
    fillText(
      bodyOf({
        task: task(overrides),
        id: 'task_1',
        variables: { tests: 'TESTS_TEXT', findings: 'FINDINGS' },
      }),
      lookupIn({ TESTS_TEXT: '3 passed', ERRAND_RUN_ID: 'run_1', FINDINGS: '[]', SECRET: 'TOLD' }),
    )
  const text = body({
    description: 'Ask @ada. Fixes #3 <!-- hidden --> ${SECRET}',
    acceptance_criteria: ['It works'],
    repo_url: 'https://f.example/o/r.git',
    issue: 'https://f.example/o/r/issues/12',
  })
  assert.ok(text.startsWith('Closes #12\n\nMade by Errand: run run_1, task task_1\n'))
  for (const words of ['- [ ] It works', '3 passed', '${SECRET}']) assert.ok(text.includes(words), words)
  for (const words of ['@ada', 'Fixes #3', 'hidden', 'TOLD']) assert.ok(!text.includes(words), words)
  const other = body({ repo_url: 'https://f.example/o/other-r', issue: 'https://f.example/o/r/issues/12' })
  assert.match(other, /For https:\/\/f\.example\/o\/r\/issues\/12/)
  const huge = body({
    description: 'y\n'.repeat(400_000),
    acceptance_criteria: Array(200).fill('z'.repeat(16_000)),
  })
  assert.ok(Buffer.byteLength(huge) < 60 * 1024 && huge.endsWith('</details>'))
})

test('the title of a pull request is one line that forges accept', () => {
  assert.equal(titleOf(task({ title: 'a\nb' })), 'a b')
  assert.equal(titleOf(task({ pull_request: { title: 'Other' } })), 'Other')
})
