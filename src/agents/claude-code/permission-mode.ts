import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import type { AskMode, SessionRequest } from '../agent.ts'

/** Asked about even where settings of the project would allow them. */
const changing = [
  'Bash',
  'Edit',
  'Write',
  'NotebookEdit',
  'WebFetch',
  'WebSearch',
  'Skill',
  'Task',
  'Workflow',
]
const reading = ['Read', 'Grep', 'Glob']

/** Would take back what the ask mode promises. */
const forbidden =
  /^--(settings|setting-sources|permission-mode|permission-prompt-tool|permission-prompts|allow-?ed-?tools|allowedTools|dangerously-skip-permissions|allow-dangerously-skip-permissions)(=|$)/

export function permissionArguments({ ask, cwd, extra_args, asks_reading }: SessionRequest): string[] {
  const prompts = ['--permission-prompt-tool', 'stdio']
  if (ask === 'allow') return [...prompts, '--permission-mode', 'bypassPermissions']
  const wrong = extra_args.find((argument) => forbidden.test(argument))
  if (wrong !== undefined)
    throw new ErrandError(
      'invalid_argument',
      `Claude Code may not be started with "${wrong}" where tools are asked about.`,
      {
        hint: 'Leave it out, or set the permissions of the step to allow everything.',
      },
    )
  const rules = ask === 'ask' && asks_reading === true ? [...changing, ...reading] : changing
  // Hooks of the project run commands that nobody was asked about.
  const settings = { disableAllHooks: true, permissions: { ask: rules } }
  // Its settings redirect the model and its key, and, like its MCP servers, begin programs before anything is asked.
  const ofNoProject = ['--setting-sources', 'user', '--strict-mcp-config', ...instructions(cwd)]
  return [...prompts, '--permission-mode', 'default', '--settings', JSON.stringify(settings), ...ofNoProject]
}

/** They would go with the settings. */
function instructions(cwd: string): string[] {
  const path = join(cwd, 'CLAUDE.md')
  return existsSync(path) ? ['--append-system-prompt-file', path] : []
}

/** It refuses to allow everything as root, unless it is told that it stands in a sandbox. */
export function permissionEnvironment(ask: AskMode): Record<string, string> {
  return ask === 'allow' && process.getuid?.() === 0 ? { IS_SANDBOX: '1' } : {}
}
