import * as z from 'zod'
import { BotId } from '../bots/bot.ts'
import {
  BotList,
  BotLogs,
  BotLogsQuery,
  BotQuery,
  BotStarted,
  BotView,
  ListBots,
  LogLine,
  MAX_UPLOAD_BYTES,
  StartBot,
  UpdateBot,
  Upload,
} from '../bots/bot-api.ts'
import { BotDataList, BotDataView, RemoveBotData } from '../bots/bot-data.ts'
import { JobAnswer, JobRefused, JobRequest } from '../bots/job-api.ts'
import { content, routeTable } from './route.ts'

const tag = 'bots'
const params = z.object({ id: BotId.check(z.describe('The bot')) })
/** Bodies with source texts and archives are larger than others. */
const bodyBytes = 8 * 1024 * 1024

export const botRoutes = routeTable({
  'POST /api/bots': {
    who: 'user',
    tag,
    summary: 'Start a bot',
    bodyBytes,
    body: StartBot,
    answers: { 201: BotStarted },
  },
  'GET /api/bots': {
    who: 'user',
    tag,
    summary: 'List your bots, newest first; for an admin, all bots',
    query: ListBots,
    answers: { 200: BotList },
  },
  'GET /api/bots/:id': {
    who: 'user',
    tag,
    summary: 'Show a bot',
    params,
    query: BotQuery,
    answers: { 200: BotView },
  },
  'POST /api/bots/:id/stop': {
    who: 'user',
    tag,
    summary: 'Stop a bot; nothing happens to a bot that has ended',
    params,
    query: BotQuery,
    body: z.strictObject({}).prefault({}),
    answers: { 202: BotView },
  },
  'POST /api/bots/:id/restart': {
    who: 'user',
    tag,
    summary: 'Stop a bot, then start it again unchanged',
    params,
    query: BotQuery,
    body: z.strictObject({}).prefault({}),
    answers: { 202: BotStarted },
  },
  'POST /api/bots/:id/update': {
    who: 'user',
    tag,
    summary: 'Start a new version of the bot, and stop the current one when the new one is up',
    bodyBytes,
    params,
    query: BotQuery,
    body: UpdateBot.prefault({}),
    answers: { 202: BotStarted },
  },
  'GET /api/bots/:id/logs': {
    who: 'user',
    tag,
    summary:
      "The last lines of a bot's log, optionally searched; with follow=true, each new line as a Server-Sent Event",
    tokenIn: 'query',
    params,
    query: BotLogsQuery.extend({ access_token: z.string().optional() }),
    answers: {
      200: {
        description: 'The lines',
        content: { 'application/json': { schema: BotLogs }, 'text/event-stream': { schema: LogLine } },
      },
    },
  },
  'GET /api/bot-data': {
    who: 'user',
    tag,
    summary: 'List the data of your bots, including bots that have ended; for an admin, of all bots',
    query: ListBots.pick({ owner: true }),
    answers: { 200: BotDataList },
  },
  'GET /api/bots/:id/data': {
    who: 'user',
    tag,
    summary: 'Where the data of a bot is, and how much of it',
    params,
    query: BotQuery,
    answers: { 200: BotDataView },
  },
  'GET /api/bots/:id/data/export': {
    who: 'user',
    tag,
    summary: 'All data of a bot as a tar; if the tar is cut short, the connection breaks',
    params,
    query: BotQuery,
    answers: { 200: content('The tar', 'application/x-tar') },
  },
  'DELETE /api/bots/:id/data': {
    who: 'user',
    tag,
    summary: 'Permanently remove the data of a bot that has ended',
    params,
    query: RemoveBotData,
    answers: { 204: z.undefined() },
  },
  'PUT /api/runner-answers/:id': {
    who: 'runner',
    tag: 'runners',
    summary: 'Send what the hub has requested, for runners',
    archive: true,
    endless: true,
    params: z.object({ id: z.uuid() }),
    answers: { 204: z.undefined() },
  },
  'PUT /api/uploads': {
    who: 'user',
    tag,
    summary:
      'Upload an archive with the code of a bot: a zip, tar or tar.gz as the body (application/zip, application/gzip)',
    bodyBytes: MAX_UPLOAD_BYTES,
    archive: true,
    answers: { 201: Upload },
  },
  'GET /api/uploads/:id': {
    who: 'runner',
    tag,
    summary: 'The bytes of an upload, for runners',
    params: z.object({ id: StartBot.shape.upload.unwrap() }),
    answers: { 200: content('The bytes', 'application/octet-stream') },
  },
  'POST /jobs': {
    who: 'user',
    tag,
    summary: 'Run a job of the bot runner; the `status` in the answer says how it went',
    tokenIn: 'x-client-token',
    body: JobRequest,
    answers: { 200: JobAnswer, 400: JobRefused },
  },
  'GET /jobs/:id': {
    who: 'user',
    tag,
    summary: 'Show a job of the bot runner',
    tokenIn: 'x-client-token',
    params: z.object({ id: z.string().describe('The job') }),
    answers: { 200: JobAnswer },
  },
})
