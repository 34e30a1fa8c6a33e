import * as z from 'zod'
import { ChangePool, PoolView } from '../fleet/provisioning.ts'
import {
  ListGroups,
  ListWaits,
  NamedGroup,
  RunnerGroup,
  RunnerGroups,
  RunnerWaits,
} from '../fleet/runner-groups.ts'
import { CreateEnrollment, EnrollmentCreated, EnrollRunner, RunnerEnrolled } from '../protocol.ts'
import { RunnerDetail, RunnerList, RunnersQuery } from '../runner-api.ts'
import { nothing, routeTable } from './route.ts'

const tag = 'runners'
const params = z.object({ id: z.string().describe('The runner') })

export const runnerRoutes = routeTable({
  'GET /api/runners': {
    who: 'user',
    tag,
    summary: 'List the runners, as a plain array',
    query: RunnersQuery,
    answers: { 200: RunnerList },
  },
  'GET /api/runner-waits': {
    who: 'user',
    tag,
    summary: 'What waits for a runner, and why, by group',
    query: ListWaits,
    answers: { 200: RunnerWaits },
  },
  'GET /api/runner-groups': {
    who: 'user',
    tag,
    summary: 'List the runner groups, and what belongs to each',
    query: ListGroups,
    answers: { 200: RunnerGroups },
  },
  'POST /api/runner-groups': {
    who: 'admin',
    tag,
    summary: 'Create a group before its first runner exists (admin)',
    body: NamedGroup,
    answers: { 201: RunnerGroup },
  },
  'PATCH /api/runner-groups/:name': {
    who: 'admin',
    tag,
    summary: 'Rename a group that an admin has created and that nothing uses (admin)',
    params: z.object({ name: z.string() }),
    body: NamedGroup,
    answers: { 200: RunnerGroup },
  },
  'DELETE /api/runner-groups/:name': {
    who: 'admin',
    tag,
    summary: 'Delete a group that an admin has created and that nothing uses (admin)',
    params: z.object({ name: z.string() }),
    answers: { 204: nothing },
  },
  'PATCH /api/runner-groups/:name/pool': {
    who: 'admin',
    tag,
    summary:
      "Override the file's settings for the provisioned runners of a group; `null`: use the file's value again (admin)",
    params: z.object({ name: z.string() }),
    body: ChangePool,
    answers: { 200: PoolView },
  },
  'POST /api/runner-groups/:name/empty': {
    who: 'admin',
    tag,
    summary: 'Remove the provisioned runners of a group; work that waits gets new ones (admin)',
    params: z.object({ name: z.string() }),
    body: z
      .strictObject({
        working: z.boolean().default(false).describe('Include runners that are working; their work is lost'),
      })
      .prefault({}),
    answers: { 202: z.object({ removed: z.number().int() }) },
  },
  'GET /api/runners/:id': {
    who: 'user',
    tag,
    summary: 'Show a runner and what it is doing',
    params,
    answers: { 200: RunnerDetail },
  },
  'POST /api/runners/:id/drain': {
    who: 'admin',
    tag,
    summary: 'Drain a runner: it finishes its work and gets nothing new until it is resumed (admin)',
    params,
    body: z.strictObject({}).prefault({}),
    answers: { 202: z.object({ id: z.string() }) },
  },
  'POST /api/runners/:id/resume': {
    who: 'admin',
    tag,
    summary: 'Resume a drained runner (admin)',
    params,
    body: z.strictObject({}).prefault({}),
    answers: { 202: z.object({ id: z.string() }) },
  },
  'DELETE /api/runners/:id': {
    who: 'admin',
    tag,
    summary: 'Forget a runner and revoke its own token (admin)',
    params,
    query: z.strictObject({
      force: z.stringbool().default(false).describe('Even if the runner is connected; its work is lost'),
    }),
    answers: { 204: nothing },
  },
  'POST /api/runners/enrollments': {
    who: 'admin',
    makes: 'tokens',
    tag,
    summary: 'Create a token that enrolls one machine as a runner; it is shown only this once (admin)',
    body: CreateEnrollment.prefault({}),
    answers: { 201: EnrollmentCreated },
  },
  'POST /api/runners/enroll': {
    who: 'anyone',
    tag,
    summary: "Exchange an enrollment token for the runner's own token; the machine does this once",
    // The token in its body grants access, under whatever name the machine knows the hub.
    anyHost: true,
    body: EnrollRunner,
    answers: { 201: RunnerEnrolled },
  },
})
