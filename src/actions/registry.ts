import type { ActionRegistry } from '../runner/ports.ts'
import { agentRun } from './agent-run.ts'
import { botServe } from './bot-serve.ts'
import { cmdRun } from './cmd-run.ts'
import { fileWrite } from './file-write.ts'
import { forgePullRequest } from './forge-pull-request.ts'
import { gitCarry } from './git-carry.ts'
import { gitCheck } from './git-check.ts'
import { gitPush } from './git-push.ts'
import { gitWorkspace } from './git-workspace.ts'
import { httpRequest } from './http-request.ts'
import { noop } from './noop.ts'
import { playbookRun } from './playbook-run.ts'
import { shellRun } from './shell-run.ts'
import { taskVerdict } from './task-verdict.ts'
import { varsSet } from './vars-set.ts'

/** Maps the name of each action that ships with Errand and runs on a host to its implementation. */
export const builtinActionRegistry: ActionRegistry = {
  'agent.run': agentRun,
  'bot.serve': botServe,
  'cmd.run': cmdRun,
  'shell.run': shellRun,
  'file.write': fileWrite,
  'git.check': gitCheck,
  'git.workspace': gitWorkspace,
  'git.carry': gitCarry,
  'git.push': gitPush,
  'forge.pull_request': forgePullRequest,
  'http.request': httpRequest,
  'vars.set': varsSet,
  'playbook.run': playbookRun,
  'task.verdict': taskVerdict,
  noop,
}
