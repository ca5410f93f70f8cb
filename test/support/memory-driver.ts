import { Connection, DatabaseDriver, EntityManager, Platform, type Configuration, type Dictionary, type EntityName } from '@mikro-orm/core'

class MemoryPlatform extends Platform {
  override supportsTransactions (): boolean {
    return false
  }
}

class MemoryConnection extends Connection {
  async connect (): Promise<void> {
    this.connected = true
  }

  override async isConnected (): Promise<boolean> {
    return true
  }

  override async checkConnection () {
    return { ok: true as const }
  }

  getDefaultClientUrl (): string {
    return 'memory://localhost'
  }

  override async execute<T> (): Promise<T[]> {
    return []
  }
}

/** A driver without SQL and without transactions, as MongoDB's is on a single server: what is flushed is there. */
export class MemoryDriver extends DatabaseDriver<MemoryConnection> {
  readonly rows: Dictionary[] = []
  protected override readonly connection: MemoryConnection
  protected override readonly platform = new MemoryPlatform()

  constructor (config: Configuration) {
    super(config, ['memory'])
    this.connection = new MemoryConnection(config)
  }

  override createEntityManager (useContext?: boolean): this['_D' & never] & EntityManager {
    return new EntityManager(this.config, this, this.metadata, useContext) as never
  }

  override async find (): Promise<never[]> {
    return this.rows as never[]
  }

  override async findOne (): Promise<null> {
    return null
  }

  override async nativeInsert (_name: EntityName, data: Dictionary) {
    this.rows.push(data)
    return { affectedRows: 1, insertId: this.rows.length, rows: [], row: {} } as never
  }

  override async nativeInsertMany (_name: EntityName, data: Dictionary[]) {
    this.rows.push(...data)
    return { affectedRows: data.length, insertId: this.rows.length, rows: data.map((_, n) => ({ id: n + 1 })), insertedIds: data.map((_, n) => n + 1) } as never
  }

  override async nativeUpdate () {
    return { affectedRows: 0 } as never
  }

  override async nativeUpdateMany () {
    return { affectedRows: 0 } as never
  }

  override async nativeDelete () {
    return { affectedRows: 0 } as never
  }

  override async count (): Promise<number> {
    return this.rows.length
  }

  override async * stream (): AsyncIterableIterator<never> {}
}
