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
    summary: 'The runners, as a bare list',
    query: RunnersQuery,
    answers: { 200: RunnerList },
  },
  'GET /api/runner-waits': {
    who: 'user',
    tag,
    summary: 'What waits for a runner, by group, and why',
    query: ListWaits,
    answers: { 200: RunnerWaits },
  },
  'GET /api/runner-groups': {
    who: 'user',
    tag,
    summary: 'The groups of runners, with what belongs to each',
    query: ListGroups,
    answers: { 200: RunnerGroups },
  },
  'POST /api/runner-groups': {
    who: 'admin',
    tag,
    summary: 'A group that is there before its first runner (admin)',
    body: NamedGroup,
    answers: { 201: RunnerGroup },
  },
  'PATCH /api/runner-groups/:name': {
    who: 'admin',
    tag,
    summary: 'Another name for a group that an admin has made and nothing uses (admin)',
    params: z.object({ name: z.string() }),
    body: NamedGroup,
    answers: { 200: RunnerGroup },
  },
  'DELETE /api/runner-groups/:name': {
    who: 'admin',
    tag,
    summary: 'Delete a group that an admin has made and nothing uses (admin)',
    params: z.object({ name: z.string() }),
    answers: { 204: nothing },
  },
  'PATCH /api/runner-groups/:name/pool': {
    who: 'admin',
    tag,
    summary: "Other settings for a group's made runners than the file has; `null`: as the file (admin)",
    params: z.object({ name: z.string() }),
    body: ChangePool,
    answers: { 200: PoolView },
  },
  'POST /api/runner-groups/:name/empty': {
    who: 'admin',
    tag,
    summary: "Take a group's made runners away; what waits gets others (admin)",
    params: z.object({ name: z.string() }),
    body: z
      .strictObject({
        working: z.boolean().default(false).describe('Also those at work: what they are at is lost'),
      })
      .prefault({}),
    answers: { 202: z.object({ removed: z.number().int() }) },
  },
  'GET /api/runners/:id': {
    who: 'user',
    tag,
    summary: 'A runner, with what it is at',
    params,
    answers: { 200: RunnerDetail },
  },
  'POST /api/runners/:id/drain': {
    who: 'admin',
    tag,
    summary: 'Give it nothing new and let it finish, until it is resumed (admin)',
    params,
    body: z.strictObject({}).prefault({}),
    answers: { 202: z.object({ id: z.string() }) },
  },
  'POST /api/runners/:id/resume': {
    who: 'admin',
    tag,
    summary: 'Give a drained runner work again (admin)',
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
      force: z.stringbool().default(false).describe('Also one that is connected; what it has is lost'),
    }),
    answers: { 204: nothing },
  },
  'POST /api/runners/enrollments': {
    who: 'admin',
    makes: 'tokens',
    tag,
    summary: 'A token that makes one machine a runner, shown this once (admin)',
    body: CreateEnrollment.prefault({}),
    answers: { 201: EnrollmentCreated },
  },
  'POST /api/runners/enroll': {
    who: 'anyone',
    tag,
    summary: "Exchange an enrolment token for a runner's own; from the machine, once",
    // The token in its body grants access, under whatever name the machine knows the hub.
    anyHost: true,
    body: EnrollRunner,
    answers: { 201: RunnerEnrolled },
  },
})
