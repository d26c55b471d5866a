// What the service is configured with by default; its peers serve the same.

import { join, resolve } from 'node:path'

export const root = resolve(import.meta.dirname, '..')
export const publicDir = join(root, 'public')
export const page = join(publicDir, 'maintenance.html')
export const retryAfterSeconds = 120
