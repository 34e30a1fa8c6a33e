import { botData } from './bot-data.ts'
import { botList } from './bot-list.ts'
import { botLogs } from './bot-logs.ts'
import { botRestart } from './bot-restart.ts'
import { botStart } from './bot-start.ts'
import { botStatus } from './bot-status.ts'
import { botStop } from './bot-stop.ts'
import { botUpdate } from './bot-update.ts'
import type { CommandGroup } from './command.ts'

export const bot: CommandGroup = {
  summary: 'Start and control bots: long-lived programs in containers on the runners of a hub.',
  commands: {
    start: botStart,
    list: botList,
    logs: botLogs,
    status: botStatus,
    stop: botStop,
    restart: botRestart,
    update: botUpdate,
    data: botData,
  },
}
