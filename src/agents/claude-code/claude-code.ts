import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import type { Agent, AgentInstall, AgentLaunch, AskMode, SessionRequest } from '../agent.ts'
import { signInApart } from '../failure.ts'
import { findProgram } from '../install/find-program.ts'
import { withMusl } from '../install/native-binary.ts'
import { anthropicService } from '../model-services.ts'
import { partOf, readSignIn, textOf } from '../sign-in.ts'
import { ClaudeProtocol } from './protocol.ts'

const install: AgentInstall = {
  package: '@anthropic-ai/claude-code',
  version: '2.1.329',
  program: 'claude',
  natives: (machine) =>
    withMusl(machine, `@anthropic-ai/claude-code-${machine.platform}-${machine.arch}`).map(
      (name) => `${name}/claude`,
    ),
  megabytes: 370,
}

const claudeKeys = ['ANTHROPIC_API_KEY', 'CLAUDE_CODE_OAUTH_TOKEN', 'ANTHROPIC_AUTH_TOKEN'] as const

/** Tools that need a person at the terminal, or that would start turns by themselves later. */
const unfit = ['AskUserQuestion', 'EnterPlanMode', 'Monitor', 'ScheduleWakeup', 'CronCreate']

/** Folder of the agent below a session's home; `CREDENTIALS` is the file of a sign-in in it. */
const OWN_FOLDER = 'claude'
const CREDENTIALS = '.credentials.json'

/** Retries that take about half a minute if a service only fails; its own default takes three minutes. */
const MOST_RETRIES = '6'

/** Matches arguments that would undo the ask mode. */
const forbidden =
  /^--(settings|setting-sources|permission-mode|permission-prompt-tool|permission-prompts|allow-?ed-?tools|allowedTools|dangerously-skip-permissions|allow-dangerously-skip-permissions)(=|$)/

/** Tools that need a permission even if settings of the project allow them. */
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

/** Variables that select other services, each with the keys for that service. */
const others: Readonly<Record<string, readonly string[]>> = {
  CLAUDE_CODE_USE_BEDROCK: [
    ...['AWS_BEARER_TOKEN_BEDROCK', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'],
  ],
  CLAUDE_CODE_USE_VERTEX: ['GOOGLE_APPLICATION_CREDENTIALS'],
  CLAUDE_CODE_USE_FOUNDRY: ['ANTHROPIC_FOUNDRY_API_KEY', 'ANTHROPIC_FOUNDRY_AUTH_TOKEN'],
}
const otherServices = Object.keys(others)

/**
 * Uses its own protocol of JSON lines, which reports more than the adapter for the Agent Client Protocol (retries,
 * costs).
 */
export const claudeCode: Agent = {
  name: 'claude_code',
  title: 'Claude Code',
  install,
  keys: claudeKeys,
  secrets: ['ANTHROPIC_CUSTOM_HEADERS', 'AWS_BEARER_TOKEN_BEDROCK'],
  services: [anthropicService],
  direct: (env) => ({
    services: [],
    keys: otherServices.filter((name) => (env[name] ?? '') !== '').flatMap((name) => others[name] ?? []),
  }),
  settings: ['ANTHROPIC_BASE_URL', 'ANTHROPIC_MODEL', 'CLAUDE_CONFIG_DIR'],
  folders: ['CLAUDE_CONFIG_DIR'],
  signIn: (env) => [{ from: join(usersFolder(env), CREDENTIALS), to: join(OWN_FOLDER, CREDENTIALS) }],
  keyOfSignIn(env) {
    const { accessToken, expiresAt } = partOf(
      readSignIn(join(usersFolder(env), CREDENTIALS)),
      'claudeAiOauth',
    )
    const token = textOf(accessToken)
    // Only Claude Code renews the token: two programs that do would log each other out.
    if (token === undefined || (typeof expiresAt === 'number' && expiresAt <= Date.now())) return undefined
    return { CLAUDE_CODE_OAUTH_TOKEN: token }
  },
  usage: 'each_call',
  locate: (places) => findProgram({ name: 'claude_code', install, ...places }),
  launch: claudeLaunch,
  modelAt: (url, key) => ({ env: { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key } }),
  protocol: (request, port) => new ClaudeProtocol(request, port),
}

export function claudeLaunch(request: SessionRequest): AgentLaunch {
  const { env, session_id, new_session_id, fork, model, max_turns } = request
  const ownFolder = hasKey(env) || request.apart === true
  checkKey(request)
  return {
    args: [
      ...['-p', '--input-format', 'stream-json', '--output-format', 'stream-json'],
      ...['--include-partial-messages', '--verbose'],
      ...permissionArguments(request),
      ...['--disallowedTools', unfit.join(',')],
      ...(model === undefined ? [] : ['--model', model]),
      ...(max_turns === undefined ? [] : ['--max-turns', String(max_turns)]),
      ...(session_id === undefined || fork ? ['--session-id', new_session_id] : []),
      ...(session_id === undefined ? [] : ['--resume', session_id]),
      ...(fork ? ['--fork-session'] : []),
      ...request.extra_args,
    ],
    env: {
      DISABLE_AUTOUPDATER: '1',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      CLAUDE_CODE_MAX_RETRIES: env.CLAUDE_CODE_MAX_RETRIES ?? MOST_RETRIES,
      // Nothing may continue in the background after the reported end of a turn.
      CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: '1',
      CLAUDE_CODE_DISABLE_CRON: '1',
      // Report the plan as one list, not as calls that change it.
      CLAUDE_CODE_ENABLE_TASKS: '0',
      ...permissionEnvironment(request.ask),
      // Otherwise a killed process leaves its sockets and tool outputs in the machine's temporary folder.
      CLAUDE_CODE_TMPDIR: join(request.home, 'tmp'),
      // With a key it needs nothing from the user's folder; without one it uses the login there.
      ...(ownFolder ? { CLAUDE_CONFIG_DIR: join(request.home, OWN_FOLDER) } : {}),
    },
  }
}

function hasKey(env: SessionRequest['env']): boolean {
  return [...claudeKeys, ...otherServices].some((name) => (env[name] ?? '') !== '')
}

function checkKey({ env, apart, home }: SessionRequest): void {
  if (hasKey(env)) return
  if (apart && existsSync(join(home, OWN_FOLDER, CREDENTIALS))) return
  if (!apart && loggedIn(env)) return
  const keys = 'Set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN for the step'
  throw new ErrandError(
    'invalid_argument',
    apart
      ? 'Claude Code has no key for its model in its sandbox.'
      : 'Claude Code has no key for its model and no login.',
    {
      hint: apart
        ? signInApart(`${keys}, or log in with "claude" (its login on the runner is missing or has expired)`)
        : `${keys}, or log in with "claude" on the runner.`,
    },
  )
}

function loggedIn(env: SessionRequest['env']): boolean {
  // On macOS, the login itself is in the keychain.
  const signs = [
    join(usersFolder(env), CREDENTIALS),
    ...(process.platform === 'darwin' ? [join(env.HOME || homedir(), '.claude.json')] : []),
  ]
  return signs.some((path) => existsSync(path))
}

const usersFolder = (env: Readonly<Record<string, string | undefined>>): string =>
  env.CLAUDE_CONFIG_DIR || join(env.HOME || homedir(), '.claude')

function permissionArguments({ ask, cwd, extra_args, asks_reading }: SessionRequest): string[] {
  const prompts = ['--permission-prompt-tool', 'stdio']
  if (ask === 'allow') return [...prompts, '--permission-mode', 'bypassPermissions']
  const wrong = extra_args.find((argument) => forbidden.test(argument))
  if (wrong !== undefined)
    throw new ErrandError(
      'invalid_argument',
      `Claude Code cannot start with "${wrong}" unless the permissions are "allow".`,
      {
        hint: 'Remove it from extra_args, or set the permissions of the step to "allow".',
      },
    )
  const rules = ask === 'ask' && asks_reading === true ? [...changing, ...reading] : changing
  // Hooks of the project run commands without asking.
  const settings = { disableAllHooks: true, permissions: { ask: rules } }
  // The project's settings can redirect the model and its key, and like MCP servers start programs without asking.
  const ofNoProject = ['--setting-sources', 'user', '--strict-mcp-config', ...instructions(cwd)]
  return [...prompts, '--permission-mode', 'default', '--settings', JSON.stringify(settings), ...ofNoProject]
}

/** Returns arguments that keep the project's CLAUDE.md, which ignoring the project's settings would drop. */
function instructions(cwd: string): string[] {
  const path = join(cwd, 'CLAUDE.md')
  return existsSync(path) ? ['--append-system-prompt-file', path] : []
}

/**
 * Returns a variable without which Claude Code refuses to allow everything as root: it says that it is in a sandbox.
 */
function permissionEnvironment(ask: AskMode): Record<string, string> {
  return ask === 'allow' && process.getuid?.() === 0 ? { IS_SANDBOX: '1' } : {}
}
