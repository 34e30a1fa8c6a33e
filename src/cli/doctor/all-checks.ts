import { cgroups } from './cgroups.ts'
import type { Check } from './check.ts'
import { clock } from './clock.ts'
import { codingAgents } from './coding-agents.ts'
import { dataFolders } from './data-folder.ts'
import { descriptors } from './descriptors.ts'
import { docker } from './docker.ts'
import { enrolment } from './enrolment.ts'
import { environment } from './environment.ts'
import { git } from './git.ts'
import { hubConfig } from './hub-config.ts'
import { hubDatabase } from './hub-database.ts'
import { hubPort } from './hub-port.ts'
import { hubReach } from './hub-reach.ts'
import { nodeVersion } from './node-version.ts'
import { secretsKey } from './secrets-key.ts'
import { staleLocks } from './stale-locks.ts'

/** In the order in which they are shown; a new one is its file and a line here. */
export const allChecks: readonly Check[] = [
  nodeVersion,
  environment,
  dataFolders,
  staleLocks,
  hubConfig,
  hubDatabase,
  hubPort,
  hubReach,
  clock,
  secretsKey,
  enrolment,
  descriptors,
  cgroups,
  docker,
  git,
  codingAgents,
]
