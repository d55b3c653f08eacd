# llave-bench in a container. docs/walkthroughs.md has the commands.
FROM python:3.12-slim

RUN useradd --create-home llave && mkdir /work && chown llave /work
COPY . /src
RUN pip install --no-cache-dir "/src[plot]" && rm -rf /src
USER llave
WORKDIR /work
ENV LLAVE_CACHE=/work/runs/cache
ENTRYPOINT ["llave"]
CMD ["--help"]
