import type { QueryClient } from '@tanstack/react-query'
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from '@tanstack/react-router'
import { basePath } from './data/api.ts'
import { filterOf } from './data/run-filter.ts'
import { meQuery, safeNext } from './data/session.ts'
import { type TaskFilter, taskFilterOf } from './data/task-filter.ts'
import { RunPage } from './run/run-page.tsx'
import { type RunSearch, runSearch } from './run/run-search.ts'
import { RunsPage } from './runs/runs-page.tsx'
import { NotThere, Shell, Trouble } from './shell/shell.tsx'
import { type TaskSearch, taskSearch } from './tasks/task-search.ts'

interface NewSearch {
  from?: string
  kind?: string
  issue?: string
  /** A value for an input, as a link gives it. */
  [input: `input.${string}`]: string | undefined
}

const root = createRootRouteWithContext<{ client: QueryClient }>()({
  component: Outlet,
  notFoundComponent: NotThere,
  errorComponent: Trouble,
})

const login = createRoute({
  getParentRoute: () => root,
  path: '/login',
  component: lazyRouteComponent(() => import('./login/login-page.tsx'), 'LoginPage'),
  validateSearch: ({ next }: Record<string, unknown>) => (next === undefined ? {} : { next: safeNext(next) }),
})

/** All that is behind the login. */
const inside = createRoute({
  getParentRoute: () => root,
  id: 'inside',
  component: Shell,
  beforeLoad: async ({ context, location }) => {
    try {
      await context.client.ensureQueryData(meQuery)
    } catch (error) {
      if ((error as { status?: number }).status === 401)
        throw redirect({ to: '/login', search: { next: location.href } })
      throw error
    }
  },
})

const home = createRoute({
  getParentRoute: () => inside,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/runs', replace: true })
  },
})
const runs = createRoute({
  getParentRoute: () => inside,
  path: '/runs',
  component: RunsPage,
  validateSearch: filterOf,
})
const run = createRoute({
  getParentRoute: () => inside,
  path: '/runs/$run',
  component: RunPage,
  validateSearch: (search: Record<string, unknown>): RunSearch => runSearch(search),
})
const fresh = createRoute({
  getParentRoute: () => inside,
  path: '/new',
  component: lazyRouteComponent(() => import('./new/new-run.tsx'), 'NewRun'),
  validateSearch: (search: Record<string, unknown>): NewSearch =>
    Object.fromEntries(
      Object.entries(search).filter(
        ([name, value]) => /^(?:from|kind|issue|input\..+)$/.test(name) && typeof value === 'string',
      ),
    ) as NewSearch,
})
const tasks = createRoute({
  getParentRoute: () => inside,
  path: '/tasks',
  component: lazyRouteComponent(() => import('./tasks/tasks-page.tsx'), 'TasksPage'),
  validateSearch: (search: Record<string, unknown>): TaskFilter => taskFilterOf(search),
})
const task = createRoute({
  getParentRoute: () => inside,
  path: '/tasks/$task',
  component: lazyRouteComponent(() => import('./tasks/task-page.tsx'), 'TaskPage'),
  validateSearch: (search: Record<string, unknown>): TaskSearch => taskSearch(search),
})
const runners = createRoute({
  getParentRoute: () => inside,
  path: '/settings/runners',
  component: lazyRouteComponent(() => import('./runners/runners-page.tsx'), 'RunnersPage'),
  validateSearch: ({ add, runner }: Record<string, unknown>): { add?: string; runner?: string } => ({
    ...(add === '1' ? { add } : {}),
    ...(typeof runner === 'string' && runner !== '' ? { runner } : {}),
  }),
})

const settings = createRoute({
  getParentRoute: () => inside,
  path: '/settings',
  beforeLoad: () => {
    throw redirect({ to: '/settings/me', replace: true })
  },
})
const me = createRoute({
  getParentRoute: () => inside,
  path: '/settings/me',
  component: lazyRouteComponent(() => import('./settings/me-page.tsx'), 'MePage'),
})
const tokens = createRoute({
  getParentRoute: () => inside,
  path: '/settings/tokens',
  component: lazyRouteComponent(() => import('./settings/tokens-page.tsx'), 'TokensPage'),
})
const groups = createRoute({
  getParentRoute: () => inside,
  path: '/settings/groups',
  component: lazyRouteComponent(() => import('./settings/groups-page.tsx'), 'GroupsPage'),
})
const secrets = createRoute({
  getParentRoute: () => inside,
  path: '/settings/secrets',
  component: lazyRouteComponent(() => import('./settings/secrets-page.tsx'), 'SecretsPage'),
})
const tenants = createRoute({
  getParentRoute: () => inside,
  path: '/settings/tenants',
  component: lazyRouteComponent(() => import('./settings/tenants-page.tsx'), 'TenantsPage'),
})
const users = createRoute({
  getParentRoute: () => inside,
  path: '/settings/users',
  component: lazyRouteComponent(() => import('./settings/users-page.tsx'), 'UsersPage'),
})
const about = createRoute({
  getParentRoute: () => inside,
  path: '/settings/about',
  component: lazyRouteComponent(() => import('./settings/about-page.tsx'), 'AboutPage'),
})

const sessions = createRoute({
  getParentRoute: () => inside,
  path: '/sessions',
  component: lazyRouteComponent(() => import('./sessions/sessions-page.tsx'), 'SessionsPage'),
  validateSearch: filterOf,
})
const styleguide = createRoute({
  getParentRoute: () => root,
  path: '/styleguide',
  component: lazyRouteComponent(() => import('./styleguide/styleguide-page.tsx'), 'StyleguidePage'),
})

const ofSettings = [settings, runners, groups, secrets, me, tokens, users, tenants, about] as const
const tree = root.addChildren([
  login,
  inside.addChildren([home, runs, run, sessions, fresh, tasks, task, ...ofSettings]),
  ...(import.meta.env.DEV ? [styleguide] : []),
])

export function pageRouter(client: QueryClient) {
  return createRouter({
    routeTree: tree,
    basepath: basePath === '' ? '/' : basePath,
    context: { client },
    defaultPreload: 'intent',
    scrollRestoration: false,
    // Words stay words: `?q=12` is a text, not a number.
    parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
    stringifySearch: (search) => {
      const given = Object.entries(search).filter(([, value]) => value !== undefined && value !== '')
      const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()
      return text === '' ? '' : `?${text}`
    },
  })
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof pageRouter>
  }
}
