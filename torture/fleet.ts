import { Application, type Observer } from './application.ts'
import type { ApplicationSettings } from './application/messages.ts'
import type { Database } from './database/database.ts'
import { Inspector, type Inspected } from './inspector.ts'

/** What a place needs to have a process started in it. */
export interface FleetSettings {
  readonly application: Omit<ApplicationSettings, 'log'>
  /** Where the logs go. */
  readonly folder: string
  readonly database: Database
  readonly observer: Observer
  /** What is inspected in a place, whose process the requests for it are sent to. */
  inspected (place: Place): Inspected
}

/** Where one process of the application is, and another one after it was told to stop. */
export class Place {
  readonly name: string
  readonly #settings: FleetSettings
  #application: Application | undefined
  #inspector: Inspector | undefined
  #processes = 0

  constructor (settings: FleetSettings, name: string) {
    this.#settings = settings
    this.name = name
  }

  /** The process that is here, or was here last. */
  get application (): Application {
    if (this.#application === undefined) throw new Error('no application was started here')
    return this.#application
  }

  get isDue (): boolean {
    return this.#inspector?.isDue === true
  }

  async start (): Promise<void> {
    const { application, folder, database, observer, inspected } = this.#settings
    this.#application = await Application.start({ ...application, log: `${folder}/application-${this.name}-${++this.#processes}.log` }, observer)
    this.#inspector = new Inspector(this.#application, database, inspected(this))
  }

  /** Counts one more answer. */
  count (): void {
    this.#inspector?.count()
  }

  async inspect (): Promise<void> {
    await this.#inspector?.inspect()
  }

  async stop (): Promise<void> {
    await this.#application?.stop()
  }
}

/** All processes of the application, which take turns. */
export class Fleet {
  readonly #places: readonly Place[]
  #sent = 0
  #restarted = 0

  constructor (size: number, settings: FleetSettings) {
    this.#places = Array.from({ length: size }, (_, index) => new Place(settings, String(index + 1)))
  }

  /** Whose turn it is. */
  next (): Place {
    return this.#at(this.#sent++)
  }

  /** Whether each has answered enough requests since its last inspection. */
  get isDue (): boolean {
    return this.#places.every(place => place.isDue)
  }

  async start (): Promise<void> {
    await Promise.all(this.#places.map(place => place.start()))
  }

  /** Tells one of them to stop, and starts another one in its place: each time the next one. */
  async restart (): Promise<void> {
    const place = this.#at(this.#restarted++)
    await place.stop()
    await place.start()
  }

  async inspect (): Promise<void> {
    for (const place of this.#places) await place.inspect()
  }

  async stop (): Promise<void> {
    await Promise.all(this.#places.map(place => place.stop()))
  }

  #at (turn: number): Place {
    return this.#places[turn % this.#places.length] as Place
  }
}
