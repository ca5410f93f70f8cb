"""The same routes with Flask-SQLAlchemy, which commits on teardown: gunicorn runs it, see measure/flask.ts."""
import os

from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
app.config["SQLALCHEMY_COMMIT_ON_TEARDOWN"] = True
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": 10}
db = SQLAlchemy(app)


class Author(db.Model):
    __tablename__ = "author"
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(255), nullable=False)
    visits = db.Column(db.Integer, nullable=False, default=0)

    def as_dict(self):
        return {"id": self.id, "name": self.name, "visits": self.visits}


@app.get("/static")
def static_route():
    return {"hello": "world"}


@app.get("/authors/<int:id>")
def author(id):
    return db.get_or_404(Author, id).as_dict()


@app.post("/authors")
def create():
    author = Author(name=request.json["name"])
    db.session.add(author)
    db.session.flush()
    return author.as_dict(), 201
