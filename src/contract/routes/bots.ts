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
    summary: 'Bots, newest first: yours; for an admin, all',
    query: ListBots,
    answers: { 200: BotList },
  },
  'GET /api/bots/:id': {
    who: 'user',
    tag,
    summary: 'A bot',
    params,
    query: BotQuery,
    answers: { 200: BotView },
  },
  'POST /api/bots/:id/stop': {
    who: 'user',
    tag,
    summary: 'Stop a bot; one that has ended stays as it is',
    params,
    query: BotQuery,
    body: z.strictObject({}).prefault({}),
    answers: { 202: BotView },
  },
  'POST /api/bots/:id/restart': {
    who: 'user',
    tag,
    summary: 'Stop a bot, then start it as it was',
    params,
    query: BotQuery,
    body: z.strictObject({}).prefault({}),
    answers: { 202: BotStarted },
  },
  'POST /api/bots/:id/update': {
    who: 'user',
    tag,
    summary: 'Start the bot as it is to be, and stop the present one when the new one is up',
    bodyBytes,
    params,
    query: BotQuery,
    body: UpdateBot.prefault({}),
    answers: { 202: BotStarted },
  },
  'GET /api/bots/:id/logs': {
    who: 'user',
    tag,
    summary: 'The last lines of a bot, searched; with follow=true each further line as a Server-Sent Event',
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
    summary: 'Data of bots, also of those that have ended: yours; for an admin, all',
    query: ListBots.pick({ owner: true }),
    answers: { 200: BotDataList },
  },
  'GET /api/bots/:id/data': {
    who: 'user',
    tag,
    summary: 'Where the data of a bot are, and how much there is',
    params,
    query: BotQuery,
    answers: { 200: BotDataView },
  },
  'GET /api/bots/:id/data/export': {
    who: 'user',
    tag,
    summary: 'All that stands there, as a tar; one that is cut short ends with a broken connection',
    params,
    query: BotQuery,
    answers: { 200: content('The tar', 'application/x-tar') },
  },
  'DELETE /api/bots/:id/data': {
    who: 'user',
    tag,
    summary: 'Remove the data of a bot that has ended, for good',
    params,
    query: RemoveBotData,
    answers: { 204: z.undefined() },
  },
  'PUT /api/runner-answers/:id': {
    who: 'runner',
    tag: 'runners',
    summary: 'What the hub has asked a runner for, for runners',
    archive: true,
    endless: true,
    params: z.object({ id: z.uuid() }),
    answers: { 204: z.undefined() },
  },
  'PUT /api/uploads': {
    who: 'user',
    tag,
    summary:
      'Keep an archive with the code of a bot: a zip, tar or tar.gz as the body (application/zip, application/gzip)',
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
    summary: "A job of the bot runner; how it went stands in the answer's `status`",
    tokenIn: 'x-client-token',
    body: JobRequest,
    answers: { 200: JobAnswer, 400: JobRefused },
  },
  'GET /jobs/:id': {
    who: 'user',
    tag,
    summary: 'A job of the bot runner',
    tokenIn: 'x-client-token',
    params: z.object({ id: z.string().describe('The job') }),
    answers: { 200: JobAnswer },
  },
})
