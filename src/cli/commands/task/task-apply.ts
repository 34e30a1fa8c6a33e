import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ErrandError } from '../../../contract/errors.ts'
import { lastChange, numberOf } from '../../../contract/tasks/task-change.ts'
import { command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions } from '../../option-values.ts'
import { linesText, lineText } from '../../render/terminal-text.ts'
import { fetchArtifact } from '../run/runs-artifacts.ts'

export const taskApply = command({
  summary: 'Apply the change of a task to the repository that you are in.',
  args: '<id>',
  options: {
    'no-commit': { type: 'boolean', help: 'Change only the files and the index; make no commits' },
    ...hubOptions,
  },
  examples: ['errand task apply task_0123', 'errand task apply task_0123 --no-commit'],
  async run({ 'no-commit': onlyFiles = false, ...hub }, [id]) {
    await checkRepository(id!)
    const client = connect(hub)
    const change = lastChange((await client.tasks.artifacts(id!)).artifacts)
    if (change === undefined)
      throw new ErrandError('not_found', `No try of task ${id} has stored a change.`, {
        hint: `See its state with: errand task show ${id}`,
      })
    const { run_id, diff, patches } = change
    const isWhole = patches.length > 0 && patches.every((patch, index) => numberOf(patch) === index + 1)
    if (!onlyFiles && !isWhole)
      throw new ErrandError('not_found', `Not all commits of task ${id} were stored as patches.`, {
        hint: `Apply the change as a whole with: errand task apply ${id} --no-commit`,
      })
    const folder = await mkdtemp(join(tmpdir(), 'errand-apply-'))
    try {
      const files: string[] = []
      for (const [index, artifact] of (onlyFiles ? [diff] : patches).entries()) {
        const file = join(folder, `${String(index).padStart(6, '0')}.patch`)
        await fetchArtifact(client.runs, run_id, artifact, file)
        files.push(file)
      }
      await (onlyFiles ? applyFiles(id!, files) : applyCommits(id!, files))
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
    const count = patches.length === 1 ? 'a commit' : `${patches.length} commits`
    process.stdout.write(
      onlyFiles
        ? `The change of ${lineText(id!)} is in the index: git diff --cached shows it.\n`
        : `The change of ${lineText(id!)} is now ${count}: git log shows it.\n`,
    )
    return 0
  },
})

/** Throws `UsageError` outside of a repository, or if the repository has changes of its own. */
async function checkRepository(id: string): Promise<void> {
  const top = await git(['rev-parse', '--show-toplevel'])
  if (top.code !== 0)
    throw new UsageError(
      'this folder is not in a repository',
      `clone it, change to it and try again: git clone URL, cd, errand task apply ${id}`,
    )
  const { stdout: begun } = await git(['rev-parse', '--git-path', 'rebase-apply'])
  if (existsSync(begun.trim()))
    throw new UsageError('a rebase or git am is in progress here', 'finish it first: git status shows how')
  const changed = await git(['status', '--porcelain', '--untracked-files=no'])
  if (changed.code !== 0) throw failed('Git cannot list the changes here', changed)
  if (changed.stdout !== '')
    throw new UsageError(
      'the repository has changes that are not committed',
      'commit them, or stash them with git stash',
    )
}

async function applyCommits(id: string, files: readonly string[]): Promise<void> {
  const applied = await git(['am', '--3way', '--keep-cr', ...files])
  if (applied.code === 0) return
  await git(['am', '--abort'])
  throw failed(`The commits of task ${id} do not apply here`, applied)
}

async function applyFiles(id: string, files: readonly string[]): Promise<void> {
  const applied = await git(['apply', '--index', '--3way', ...files])
  if (applied.code === 0) return
  // The repository had no changes of its own before.
  await git(['reset', '--hard', '--quiet'])
  throw failed(`The change of task ${id} does not apply here`, applied)
}

interface GitResult {
  code: number
  stdout: string
  stderr: string
}

const failed = (what: string, { stdout, stderr }: GitResult): ErrandError =>
  new ErrandError('conflict', `${what}: ${linesText(`${stdout}${stderr}`.trim())}`, {
    hint: 'The repository is unchanged. Check out the commit that the task started from and try again there.',
  })

/** Runs git in the current folder, with English messages. Rejects with `unavailable` if git cannot be run. */
function git(args: readonly string[]): Promise<GitResult> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, LC_ALL: 'C' }
    execFile('git', args, { env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number')
        reject(
          new ErrandError('unavailable', `Git cannot be run: ${error.message}`, { hint: 'Install git.' }),
        )
      else resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}
