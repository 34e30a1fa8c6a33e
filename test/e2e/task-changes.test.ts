import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { promisify } from 'node:util'
import { ErrandClient } from '../../src/client/client.ts'
import { runTurn } from '../support/model-server/server.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

test('the change of a task is shown, and can be applied to a clone', async (t) => {
  const { repository, token, programs } = await taskPlace(t, {
    script: [
      runTurn('echo made > made.txt && mkdir out && echo figures > out/r.txt && echo out > .gitignore'),
      { text: 'It is made.' },
    ],
  })
  const { call, home } = programs
  const file = join(home, 'task.yaml')
  writeFileSync(
    file,
    `task_id: T1\ntitle: Make it\nrepo_url: "${repository.cloneUrl}"\npush: false\npull_request: false\nartifacts: ["out/**"]\n`,
  )
  const none = await call('task', 'diff', 'T1')
  assert.deepEqual([none.code, none.stdout], [7, ''])
  const ran = await call('task', 'run', file)
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)

  const diff = await call('task', 'diff', 'T1')
  assert.match(diff.stdout, /^diff --git [\s\S]*\+made\n/)
  assert.match((await call('task', 'diff', 'T1', '--stat')).stdout, /^made\.txt \| \+1 -0$/m)
  assert.match((await call('task', 'diff', 'T1', '--commit', '1')).stdout, /^From [\s\S]*Subject: .*Make it/)
  const past = await call('task', 'diff', 'T1', '--commit', '2')
  assert.equal(past.code, 7, past.stdout + past.stderr)
  const listed = await call('task', 'artifacts', 'T1')
  for (const name of ['change.diff', 'patch/0001.patch', 'out/r.txt'])
    assert.ok(listed.stdout.includes(name), listed.stdout)
  assert.equal((await call('task', 'artifacts', 'T1', 'out/r.txt')).stdout, 'figures\n')

  const clone = join(home, 'clone')
  const git = (...args: string[]) => execFileSync('git', ['-C', clone, ...args], { encoding: 'utf8' }).trim()
  const url = repository.cloneUrl.replace('://', `://x-access-token:${token}@`)
  // The server runs in this process and must be able to answer meanwhile.
  await promisify(execFile)('git', ['clone', '-q', url, clone])
  git('config', 'user.name', 'Ann')
  git('config', 'user.email', 'ann@example.com')
  const before = git('rev-parse', 'HEAD')
  const apply = (...more: string[]) => programs.callIn(clone, 'task', 'apply', 'T1', ...more)
  writeFileSync(join(clone, 'README.md'), 'mine\n')
  const dirty = await apply()
  assert.equal(dirty.code, 2, dirty.stdout + dirty.stderr)
  assert.match(dirty.stderr, /not committed[\s\S]*git stash/)
  git('checkout', '-q', 'README.md')

  const staged = await apply('--no-commit')
  assert.equal(staged.code, 0, staged.stdout + staged.stderr)
  assert.equal(git('diff', '--cached', '--name-only'), '.gitignore\nmade.txt')
  git('reset', '-q', '--hard')

  // Another file has this name here.
  writeFileSync(join(clone, 'made.txt'), 'mine\n')
  git('add', 'made.txt')
  git('commit', '-qm', 'mine')
  const mine = git('rev-parse', 'HEAD')
  for (const way of [[], ['--no-commit']]) {
    const refused = await apply(...way)
    assert.equal(refused.code, 1, refused.stdout + refused.stderr)
    assert.match(refused.stderr, /do(es)? not apply here[\s\S]*is unchanged/)
    assert.deepEqual([git('rev-parse', 'HEAD'), git('status', '--porcelain')], [mine, ''])
    assert.equal(existsSync(join(clone, '.git/rebase-apply')), false)
  }
  git('reset', '-q', '--hard', before)

  const applied = await apply()
  assert.equal(applied.code, 0, applied.stdout + applied.stderr)
  assert.equal(readFileSync(join(clone, 'made.txt'), 'utf8'), 'made\n')
  assert.deepEqual([git('rev-parse', 'HEAD^'), git('status', '--porcelain')], [before, ''])
  assert.match(git('log', '-1', '--format=%B'), /Errand-Task: task_/)

  // A hub that starts from a backup has the task and its saved work.
  const backup = join(home, 'backup.tgz')
  const made = await call('backup', '--to', backup, '--data', programs.data)
  assert.equal(made.code, 0, made.stderr)
  const data = join(home, 'restored')
  const back = await call('restore', backup, '--data', data)
  assert.equal(back.code, 0, back.stderr)
  const up = programs.errand.start(['up', '--port', '0', '--no-runner'], { env: { ERRAND_DATA: data } })
  await up.until('Errand is up')
  const there = new ErrandClient(JSON.parse(readFileSync(join(data, 'local.json'), 'utf8')))
  const task = await programs.client.tasks.get('T1')
  assert.deepEqual(await there.tasks.get('T1'), task)
  assert.equal(await new Response(await there.tasks.diff('T1')).text(), diff.stdout)

  const deleted = await call('task', 'delete', 'T1')
  assert.match(deleted.stdout, /^task_\w+ is deleted, with a run\.$/m, deleted.stderr)
  assert.equal((await call('task', 'show', 'T1')).code, 7)
  assert.deepEqual((await programs.client.runs.list({})).runs, [])
})

test('what others push meanwhile is merged by the agent, tested again and proposed', async (t) => {
  const place = await taskPlace(t, {
    // Before the agent ends its first turn, others push. The agent that resolves the conflict is told about the marks.
    script: ({ body, toolResults }) => {
      const fixes = JSON.stringify(body).includes('between the markers')
      if (toolResults.length === 0)
        return runTurn(
          fixes ? "sed -i '/^<<<<<<< /d;/^=======$/d;/^>>>>>>> /d' README.md" : 'echo mine > README.md',
        )
      if (!fixes) others('README.md', 'theirs\n')
      return { text: 'It is done.' }
    },
    files: { 'README.md': 'The shop.\n', Makefile: 'test:\n\t@grep -q mine README.md\n' },
  })
  const { forge, repository, programs, server } = place
  const others = (name: string, content: string) =>
    forge.state.commit(repository.path, 'topic', { [name]: content }, 'Theirs')
  const file = join(programs.home, 'task.yaml')
  const text = `title: Make it\nbranch_name: topic\nrepo_url: "${repository.cloneUrl}"\n`
  writeFileSync(file, `${text}task_id: T1\nconflicts: agent\n`)
  const ran = await programs.call('task', 'run', file)
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  const [pull] = repository.tickets.filter((each) => each.pull !== undefined)
  assert.equal(pull?.pull?.head, 'topic')
  const git = (...args: string[]) => forge.state.git(repository.path, args)
  assert.equal(git('show', 'topic:README.md'), 'theirs\nmine')
  assert.equal(git('log', '--format=%s', 'main..topic'), 'Make it\nTheirs')
  assert.equal(server.scripted.length, 4)
  const diff = await programs.call('task', 'diff', 'T1')
  assert.match(diff.stdout, /^ theirs\n\+mine$/m)
})

test('a task that depends on two others starts with the work of both, before either is merged', async (t) => {
  const { forge, repository, programs } = await taskPlace(t, {
    script: ({ body, toolResults }) => {
      if (toolResults.length > 0) return { text: 'It is done.' }
      const [, name] = /Task: Make (\w+)/.exec(JSON.stringify(body)) ?? []
      return runTurn(
        name === 'both' ? 'cat left right > made.txt' : `echo ${name} > ${name} && touch made.txt`,
      )
    },
  })
  const url = repository.cloneUrl
  const file = join(programs.home, 'tasks.json')
  const task = (id: string, dependencies: string[]) => ({
    task_id: id,
    title: `Make ${id}`,
    repo_url: url,
    dependencies,
  })
  writeFileSync(
    file,
    JSON.stringify({ tasks: [task('left', []), task('right', []), task('both', ['left', 'right'])] }),
  )
  const ran = await programs.call('task', 'run', file)
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  const pull = repository.tickets.find(({ title }) => title === 'Make both')?.pull
  assert.equal(pull?.base, 'main')
  assert.equal(forge.state.git(repository.path, ['show', `${pull.head}:made.txt`]), 'left\nright')
  const diff = await programs.call('task', 'diff', 'both', '--stat')
  assert.match(diff.stdout, /^made\.txt \| \+2 -0$/m)
})
