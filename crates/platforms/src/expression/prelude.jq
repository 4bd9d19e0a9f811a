# Functions written in jq itself. None of them calls itself: every loop goes over something finite.

def empty: {}[] as $x | .;
def error: error_empty as $x | .;
def error(message): message | error;
def not: if . then false else true end;
def select(f): if f then . else empty end;
def tostring: "\(.)";

def values: select(. != null);
def nulls: select(. == null);
def booleans: select(type == "boolean");
def numbers: select(type == "number");
def strings: select(type == "string");
def arrays: select(type == "array");
def objects: select(type == "object");
def scalars: select(type != "array" and type != "object");
def iterables: select(type == "array" or type == "object");

def range(upto): range(0; upto; 1);
def range(from; upto): range(from; upto; 1);

def map(f): [.[] | f];
def map_values(f): .[] |= f;
def del(f): f |= empty;
def first: .[0];
def last: .[-1];
def nth(n): .[n];
def nth(n; f): first(skip(n; f));
def isempty(f): first((f | false), true);
def any(g; f): isempty(first(g | if f then true else empty end)) | not;
def all(g; f): isempty(first(g | if f then empty else false end));
def any(f): any(.[]; f);
def all(f): all(.[]; f);
def any: any(.[]; .);
def all: all(.[]; .);

def add(f): reduce f as $x (null; . + $x);
def add: add(.[]);
def abs: if . < 0 then -. else . end;
def min: min_by(.);
def max: max_by(.);
def unique_by(f): [group_by(f)[] | .[0]];
def unique: unique_by(.);
def keys: keys_unsorted | sort;
def in(object): . as $key | object | has($key);
def inside(larger): . as $x | larger | contains($x);

def to_entries: [key_values[] as [$key, $value] | {$key, $value}];
def from_entries:
  reduce (.[] | {((.key // .k // .name // .Name // .K // .Key | if type == "string" then . else tojson end)):
    (if has("value") then .value elif has("v") then .v else .Value end)}) as $x ({}; . + $x);
def with_entries(f): to_entries | map(f) | from_entries;

def getpath($path): reduce $path[] as $key (.; .[$key]);
def setpath($path; $new): getpath($path) = $new;
def pick(f): reduce path_value(f) as [$path, $value] (null; setpath($path; $value));

def todate: todateiso8601;
def fromdate: fromdateiso8601;
def @text: tostring;
def @json: tojson;
