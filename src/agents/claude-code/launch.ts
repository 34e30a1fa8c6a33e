import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import type { AgentLaunch, SessionRequest } from '../agent.ts'
import { permissionArguments, permissionEnvironment } from './permission-mode.ts'

export const claudeKeys = ['ANTHROPIC_API_KEY', 'CLAUDE_CODE_OAUTH_TOKEN', 'ANTHROPIC_AUTH_TOKEN'] as const
/** Other services, that have keys of their own. */
const otherServices = ['CLAUDE_CODE_USE_BEDROCK', 'CLAUDE_CODE_USE_VERTEX', 'CLAUDE_CODE_USE_FOUNDRY']

/** Tools for somebody who sits there, and such that would begin turns by themselves later. */
const unfit = ['AskUserQuestion', 'EnterPlanMode', 'Monitor', 'ScheduleWakeup', 'CronCreate']

/** About half a minute for a service that only fails; its own default is three minutes. */
const MOST_RETRIES = '6'

export function claudeLaunch(request: SessionRequest): AgentLaunch {
  const { env, session_id, new_session_id, model, max_turns } = request
  const ownFolder = hasKey(env)
  if (!ownFolder && !loggedIn(env))
    throw new ErrandError(
      'invalid_argument',
      'Claude Code has no key for its model, and nobody is logged in.',
      {
        hint: 'Set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN for the step, or log in with "claude" on the runner.',
      },
    )
  return {
    args: [
      ...['-p', '--input-format', 'stream-json', '--output-format', 'stream-json'],
      ...['--include-partial-messages', '--verbose'],
      ...permissionArguments(request),
      ...['--disallowedTools', unfit.join(',')],
      ...(model === undefined ? [] : ['--model', model]),
      ...(max_turns === undefined ? [] : ['--max-turns', String(max_turns)]),
      ...(session_id === undefined ? ['--session-id', new_session_id] : ['--resume', session_id]),
      ...request.extra_args,
    ],
    env: {
      DISABLE_AUTOUPDATER: '1',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      CLAUDE_CODE_MAX_RETRIES: env.CLAUDE_CODE_MAX_RETRIES ?? MOST_RETRIES,
      // A turn ends when it is told to have ended: nothing goes on behind it.
      CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: '1',
      CLAUDE_CODE_DISABLE_CRON: '1',
      // Its plan as one list, not as calls that change one.
      CLAUDE_CODE_ENABLE_TASKS: '0',
      ...permissionEnvironment(request.ask),
      // Else a killed one leaves its sockets and the outputs of its tools in the machine's own folder.
      CLAUDE_CODE_TMPDIR: join(request.home, 'tmp'),
      // With a key it needs nothing of the user's; a login stays where it is.
      ...(ownFolder ? { CLAUDE_CONFIG_DIR: join(request.home, 'claude') } : {}),
    },
  }
}

function hasKey(env: SessionRequest['env']): boolean {
  return [...claudeKeys, ...otherServices].some((name) => (env[name] ?? '') !== '')
}

function loggedIn(env: SessionRequest['env']): boolean {
  const home = env.HOME || homedir()
  const folder = env.CLAUDE_CONFIG_DIR || join(home, '.claude')
  // On a Mac the login itself is in the keychain.
  const signs = [
    join(folder, '.credentials.json'),
    ...(process.platform === 'darwin' ? [join(home, '.claude.json')] : []),
  ]
  return signs.some((path) => existsSync(path))
}
