import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { runTurn } from '../support/model-server/server.ts'
import { sandboxMissing } from '../support/runner/box-fixture.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

const value = 'postgres://shop:Tr0ub4dor&3@db.internal/shop'

/** Returns the files below a folder that contain a text. */
const holding = (folder: string, text: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => readFileSync(path).includes(text))

for (const isolation of ['none', 'sandbox'] as const)
  test(`a secret that setup writes into the workspace is in nothing that leaves it, isolation ${isolation}`, {
    skip: isolation === 'sandbox' && sandboxMissing(),
  }, async (t) => {
    const { forge, repository, programs } = await taskPlace(t, {
      files: { 'README.md': 'The shop.\n' },
      script: [
        runTurn('cat .env; echo made > made.txt'),
        { text: 'It is made.' },
        runTurn('cp .env settings.ini'),
        { text: 'It is set.' },
      ],
    })
    await programs.call('secrets', 'set', `TEST_DB=${value}`)
    const steps = [
      { name: 'install', phase: 'setup', command: 'printf "DB=%s\\n" "$TEST_DB" > .env; echo x > report' },
      { name: 'test', command: 'grep -q "^DB=postgres" .env' },
    ]
    const task = (title: string) => {
      const file = join(programs.home, `${title}.yaml`)
      const fields = { title, repo_url: repository.cloneUrl, isolation, secrets: ['TEST_DB'] }
      const stored = { artifacts: ['.env', 'report'], playbook: { name: 'p', steps } }
      writeFileSync(file, JSON.stringify({ ...fields, ...stored, task_id: title }))
      return programs.call('task', 'run', file, '--verbose')
    }
    const ran = await task('first')
    assert.equal(ran.code, 0, ran.stdout + ran.stderr)
    assert.match(ran.stdout, /\.env was not stored: it contains the secret TEST_DB/)
    const [pull] = repository.tickets.filter((each) => each.pull !== undefined)
    const git = (...args: string[]) => forge.state.git(repository.path, args).trim()
    assert.equal(git('ls-tree', '-r', '--name-only', pull!.pull!.head), 'README.md\nmade.txt')
    const leaked = await task('second')
    assert.equal(leaked.code, 1, leaked.stdout + leaked.stderr)
    assert.match(leaked.stdout + leaked.stderr, /"settings\.ini", line 1: the secret TEST_DB\./)
    for (const { stdout, stderr } of [ran, leaked]) assert.ok(!(stdout + stderr).includes('Tr0ub4dor'))
    // The content of a checkout is removed with it.
    const left = holding(programs.data, 'Tr0ub4dor').filter((path) => !path.includes('/checkouts/'))
    assert.deepEqual(left, [])
    assert.ok(!git('for-each-ref').includes('second'))
  })
